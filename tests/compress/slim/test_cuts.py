"""What is cut is gone everywhere, and every layer knows how wide it is then."""

from typing import Any

import torch
from torch import Tensor, nn

from vitc.compress.slim.cuts import Cut, Group, dropped, masked, narrowed


def perceptron() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()


def part(module: nn.Module, name: str) -> Any:
    return module.get_submodule(name)


def hidden() -> Group:
    each = torch.arange(4)
    cuts = (
        Cut("0.weight", 0, each, each, writes=True),
        Cut("0.bias", 0, each, each),
        Cut("2.weight", 1, each, each, reads=True),
    )
    return Group("0", "neurons", 4, cuts)


KEPT = {"0": torch.tensor([True, False, True, False])}


def answer(module: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = module(x)
    return found


def test_what_is_not_kept_is_gone_and_the_layers_say_so() -> None:
    whole = perceptron()
    narrow = narrowed(whole, [hidden()], KEPT)
    first, last = part(narrow, "0"), part(narrow, "2")
    assert (first.out_features, last.in_features) == (2, 2)
    torch.testing.assert_close(first.weight, part(whole, "0").weight[[0, 2]], rtol=0, atol=0)
    torch.testing.assert_close(last.weight, part(whole, "2").weight[:, [0, 2]], rtol=0, atol=0)
    assert part(whole, "0").out_features == 4


def test_a_mask_gives_what_a_cut_gives() -> None:
    whole, x = perceptron(), torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    narrow, zeroed = narrowed(whole, [hidden()], KEPT), masked(whole, [hidden()], KEPT)
    torch.testing.assert_close(answer(narrow, x), answer(zeroed, x))
    assert not torch.equal(answer(narrow, x), answer(whole, x))


def test_a_unit_takes_all_its_places_along() -> None:
    pairs = Group("p", "widths", 2, (Cut("t", 0, torch.arange(4), torch.tensor([0, 1, 0, 1])),))
    gone = dropped([pairs], {"p": torch.tensor([True, False])})
    assert gone["t", 0].tolist() == [1, 3]


def test_convolutions_and_norms_know_their_widths() -> None:
    each = torch.arange(6)
    net = nn.Sequential(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, groups=6), nn.GroupNorm(1, 6)).eval()
    tensors = [(0, "weight"), (0, "bias"), (1, "weight"), (1, "bias"), (1, "running_mean"), (1, "running_var")]
    tensors += [(2, "weight"), (2, "bias"), (3, "weight"), (3, "bias")]
    group = Group("c", "widths", 6, tuple(Cut(f"{layer}.{name}", 0, each, each) for layer, name in tensors))
    narrow = narrowed(net, [group], {"c": each < 4})
    assert answer(narrow, torch.randn(1, 3, 5, 5)).shape == (1, 4, 3, 3)
    assert part(narrow, "1").num_features == 4
    assert part(narrow, "2").groups == 4
