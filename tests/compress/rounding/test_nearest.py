import pytest
import torch
from torch import Tensor

from vitc.compress.moments import Moments
from vitc.compress.rounding.nearest import SHRINKS, Nearest, best_scale
from vitc.compress.weights import quantize_channels, snap

WEIGHT = torch.randn(8, 96, generator=torch.Generator().manual_seed(0))
EVEN = torch.ones(96)


def off(weight: Tensor, codes: Tensor, scale: Tensor, importance: Tensor = EVEN) -> Tensor:
    return (codes * scale[:, None] - weight).square() @ importance


@pytest.mark.parametrize("bits", [1, 8])
def test_where_the_grid_is_given_nothing_is_searched(bits: int) -> None:
    for found, given in zip(Nearest().codes(WEIGHT, bits), quantize_channels(WEIGHT, bits), strict=True):
        assert torch.equal(found, given)


@pytest.mark.parametrize("bits", range(2, 8))
def test_a_searched_grid_errs_less_than_the_full_range(bits: int) -> None:
    found, full = (off(WEIGHT, *pair) for pair in (Nearest().codes(WEIGHT, bits), quantize_channels(WEIGHT, bits)))
    assert (found <= full).all()
    assert found.sum() < (0.9 if bits < 5 else 1) * full.sum()


def test_no_other_tried_scale_is_better() -> None:
    codes, scale = Nearest().codes(WEIGHT, 3)
    widest = quantize_channels(WEIGHT, 3)[1]
    for shrink in SHRINKS:
        other = widest * shrink
        assert (off(WEIGHT, snap(WEIGHT / other[:, None], 3), other) >= off(WEIGHT, codes, scale) * (1 - 1e-5)).all()


def test_errors_count_by_importance() -> None:
    weight = WEIGHT.clone()
    weight[:, 0] = 20
    rare, vital = (torch.where(torch.arange(96) == 0, value, 1.0) for value in (1e-6, 1e6))
    assert (Nearest().codes(weight, 4, vital)[1] * 7 > 19).all()
    assert (Nearest().codes(weight, 4, rare)[1] * 7 < 10).all()


def test_inputs_say_what_is_important() -> None:
    weight = WEIGHT.clone()
    weight[:, 0] = 20
    moments = Moments.empty(96)
    rows = torch.randn(200, 96, generator=torch.Generator().manual_seed(1)) * torch.where(
        torch.arange(96) == 0, 1e-4, 1
    )
    moments.add(rows + 5, rows + 5)
    found = Nearest().apply(weight, torch.arange(8.0), moments, 4)
    assert (found.scale * 7 < 10).all(), "the mean of an input is the bias's business"
    assert found.bias.tolist() == list(range(8))


def test_of_scales_that_err_alike_the_first_is_taken() -> None:
    zeros = torch.zeros(2, 4)
    assert best_scale(zeros, 4, torch.ones(4), [torch.full((2,), scale) for scale in (3.0, 2.0)]).tolist() == [3, 3]
