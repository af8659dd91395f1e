"""Rounding learns: gradients pass where nothing is clipped, and what has learned is codes and ranges again."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vitc.compress.scheme import SCHEMES, Grid
from vitc.compress.straight_through import final, learn_input, learn_weight, near, range_of
from vitc.compress.weights import SAFE, quantize_channels, snap


def test_gradients_pass_where_nothing_is_clipped_and_scales_learn() -> None:
    x = torch.tensor([-10.0, -0.3, 0.24, 0.26, 10.0], requires_grad=True)
    scale = torch.tensor(0.1, requires_grad=True)
    rounded = learn_input(x, scale, Grid(0.1, 2, 0, 15))
    assert torch.allclose(rounded, torch.tensor([-0.2, -0.2, 0.2, 0.3, 1.3]))
    rounded.sum().backward()
    assert x.grad is not None
    assert scale.grad is not None
    assert x.grad.tolist() == [0.0, 0.0, 1.0, 1.0, 0.0]
    # What clips moves with the scale by its code; the rest by what rounding added, in steps.
    assert scale.grad.item() == pytest.approx(-2 - 2 + (2 - 2.4) + (3 - 2.6) + 13, abs=1e-4)


def test_weights_learn_on_the_grid_of_their_bits() -> None:
    weight = torch.tensor([[-2.6, -0.1, 0.3, 0.4]], requires_grad=True)
    rounded = learn_weight(weight, torch.tensor([[0.5]]), 3)
    assert rounded[0].tolist() == [-1.5, 0.0, 0.5, 0.5]
    rounded.sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[0.0, 1.0, 1.0, 1.0]]


@pytest.mark.parametrize(("bits", "codes"), [(1, [-1, -1, 1, 1, 1]), (2, [-3, -1, 1, 3, 3])])
def test_signs_learn_in_steps(bits: int, codes: list[int]) -> None:
    steps, scale = torch.tensor([[-2.6, -0.1, 0.3, 2.4, 9.0]]), torch.tensor([[0.5]])
    assert learn_weight(steps, scale, bits)[0].tolist() == [0.5 * code for code in codes]


@pytest.mark.parametrize("bits", [1, 2])
def test_gradients_of_signs_are_those_of_what_they_stand_for(bits: int) -> None:
    """Of the steps: as if nothing were rounded. Of the scales: with the codes as they are."""
    steps = 2 * torch.randn(3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scale = torch.tensor([[0.5], [1.0], [2.0]], dtype=torch.float64)
    pull = torch.randn(3, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    steps.requires_grad_()
    scale.requires_grad_()
    (learn_weight(steps, scale, bits) * pull).sum().backward()
    codes = snap(steps.detach(), bits)

    def unrounded(steps: Tensor) -> Tensor:
        return (steps * scale.detach() * pull).sum()

    def scaled(scale: Tensor) -> Tensor:
        return (codes * scale * pull).sum()

    assert steps.grad is not None
    assert scale.grad is not None
    torch.testing.assert_close(steps.grad, slopes(unrounded, steps.detach()))
    torch.testing.assert_close(scale.grad, slopes(scaled, scale.detach()))


def slopes(function: Callable[[Tensor], Tensor], at: Tensor, step: float = 1e-3) -> Tensor:
    """Finite differences along each value."""
    found = torch.zeros_like(at)
    for place in range(at.numel()):
        moved = torch.zeros_like(at)
        moved.view(-1)[place] = step
        found.view(-1)[place] = (function(at + moved) - function(at - moved)) / (2 * step)
    return found


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_float_weights_come_near_and_round_to_the_chosen_codes(bits: int) -> None:
    weight = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    codes, scale = quantize_channels(weight, bits)
    other = codes.clone()
    other[0] = -other[0]
    moved = near(weight, other.t(), scale, bits)
    found, scales = final(moved, scale[:, None].log(), bits)
    assert torch.equal(found, other.t())
    assert torch.allclose(scales, scale)
    learned = moved * scale[:, None] if bits <= 2 else moved
    assert torch.allclose(learned[1:], weight[1:], atol=float(scale.max()) * 0.02)


def test_at_one_bit_it_is_kept_how_far_a_weight_is_from_changing_its_sign() -> None:
    weight = torch.tensor([[0.2, -1.8, 4.0, -0.002]])
    moved = near(weight, torch.tensor([[1], [-1], [1], [1]]), torch.tensor([2.0]), 1)
    assert moved[0].tolist() == pytest.approx([0.1, -0.9, 2.0, 0.01])


def test_codes_of_eight_bits_stay_safe() -> None:
    codes, _ = final(torch.full((2, 8), 120.0), torch.zeros(2, 1), 8)
    assert codes.dtype == torch.int8
    assert codes.int().unflatten(0, (-1, 2)).sum(1).abs().max() <= SAFE


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5])
def test_a_learned_scale_makes_a_range_of_the_same_grid(scheme: str, factor: float) -> None:
    grid = SCHEMES[scheme].grid(-0.31, 1.7, 4)
    low, high = range_of(grid, torch.tensor(grid.scale * factor).log())
    again = SCHEMES[scheme].grid(low, high, 4)
    assert again.zero_point == grid.zero_point
    assert again.scale == pytest.approx(grid.scale * factor, rel=1e-5)
