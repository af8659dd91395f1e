"""A unit matters as much as the answers move with what reads it, whatever the batches."""

import pytest
import torch
from torch import nn

from vitc.compress.slim.cuts import Cut, Group
from vitc.compress.slim.gates import score

EACH = torch.arange(4)
CUTS = (
    Cut("1.weight", 0, EACH, EACH, writes=True),
    Cut("1.bias", 0, EACH, EACH),
    Cut("3.weight", 1, EACH, EACH, reads=True),
)
GROUP = Group("1", "neurons", 4, CUTS)
WHOLE = {"1": GROUP.whole}


def net(outputs: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, outputs)).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(6, 1, 2, 2, generator=torch.Generator().manual_seed(1))


def test_with_one_answer_a_score_is_the_squared_part_of_it(images: torch.Tensor) -> None:
    model, noise = net(1), torch.Generator().manual_seed(0)
    first, last = (model.get_submodule(name) for name in "13")
    weight = last.weight
    assert isinstance(weight, torch.Tensor)
    parts = first(images.flatten(1)).relu() * weight[0]
    drawn = torch.cat([torch.randn(1, 1, generator=noise) for _ in images])
    wanted = (parts * drawn).square().sum(0)
    torch.testing.assert_close(score(model, [GROUP], WHOLE, [images])["1"].float(), wanted.detach())


def test_a_unit_that_nobody_reads_does_not_matter(images: torch.Tensor) -> None:
    model = net(3)
    with torch.no_grad():
        model.get_parameter("3.weight")[:, 2] = 0
    found = score(model, [GROUP], WHOLE, [images])["1"]
    assert float(found[2]) == 0
    assert float(found.sum()) > 0


def test_batches_change_nothing_and_neither_does_a_second_time(images: torch.Tensor) -> None:
    once = score(net(3), [GROUP], WHOLE, [images])["1"]
    assert torch.equal(once, score(net(3), [GROUP], WHOLE, images.split(4))["1"])
    assert not torch.equal(once, score(net(3), [GROUP], WHOLE, [images[:5]])["1"])


def test_what_is_gone_scores_nothing_and_the_others_as_in_the_narrow_model(images: torch.Tensor) -> None:
    model, kept = net(3), {"1": torch.tensor([True, False, True, True])}
    found = score(model, [GROUP], kept, [images])["1"]
    with torch.no_grad():
        model.get_parameter("3.weight")[:, 1] = 0
    torch.testing.assert_close(found, score(model, [GROUP], WHOLE, [images])["1"])
    assert float(found[1]) == 0
