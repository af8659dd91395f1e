from itertools import product

import pytest
import torch
from torch import Tensor

from vitc.compress.moments import Moments
from vitc.compress.rounding.erq import Erq, refine, round_by_halves
from vitc.compress.rounding.rounded import Exact
from vitc.compress.weights import highest, pitch, quantize_channels, snap


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def hessian_of(width: int) -> Tensor:
    rows = drawn(3 * width, width) @ (drawn(width, width, seed=1) + torch.eye(width))
    return rows.t() @ rows


def error(codes: Tensor, steps: Tensor, hessian: Tensor) -> Tensor:
    off = codes.double() - steps
    return (off @ hessian * off).sum(1)


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
@pytest.mark.parametrize("width", [1, 2, 33])
def test_every_turn_lowers_the_error(width: int, bits: int) -> None:
    steps, hessian = drawn(6, width, seed=2) * highest(bits) / 2, hessian_of(width)
    before = snap(steps, bits)
    for turns in (0, 1, 2, 5, 100):
        after = refine(steps, hessian, bits, turns)
        assert (error(after, steps, hessian) <= error(before, steps, hessian) * (1 + 1e-9)).all()
        assert after.abs().max() <= highest(bits)
        assert ((after - snap(steps, bits)).abs().sum(1) <= turns * pitch(bits)).all()
        before = after
    assert width < 33 or (error(after, steps, hessian) < error(snap(steps, bits), steps, hessian)).any()


def test_the_steepest_turn_comes_first() -> None:
    steps, hessian = drawn(6, 12, seed=2) * 3, hessian_of(12)
    nearest, once = snap(steps, 4), refine(steps, hessian, 4, 1)
    slope = ((steps - nearest) @ hessian).abs()
    off = steps - nearest
    legal = (off * ((steps - nearest) @ hessian) > 0) & ((nearest + off.sign()).abs() <= 7)
    for row in range(6):
        turned = (once[row] != nearest[row]).nonzero().flatten().tolist()
        assert turned in ([], [int(torch.where(legal[row], slope[row], 0).argmax())])
    assert not torch.equal(once, nearest)


@pytest.mark.parametrize("bits", [1, 4])
@pytest.mark.parametrize("width", [1, 2, 3, 50])
def test_halves_in_float_make_up_for_halves_in_codes(width: int, bits: int) -> None:
    steps, hessian = drawn(30, width, seed=2) * highest(bits) / 2, hessian_of(width)
    codes = round_by_halves(steps, hessian, bits, 100)
    assert codes.abs().max() <= highest(bits)
    plain = snap(steps, bits)
    assert width < 50 or error(codes, steps, hessian).sum() < 0.6 * error(plain, steps, hessian).sum()


def test_two_columns_come_out_as_well_as_can_be() -> None:
    steps, hessian = torch.tensor([[1.8, 1.8]], dtype=torch.float64), torch.tensor([[1.0, 0.99], [0.99, 1.0]]).double()
    every = torch.tensor(list(product((-3.0, -1.0, 1.0, 3.0), repeat=2)), dtype=torch.float64)
    best = error(every, steps.expand(16, -1), hessian).min()
    assert error(round_by_halves(steps, hessian, 2, 100), steps, hessian).item() == pytest.approx(best.item(), rel=1e-9)
    assert error(snap(steps, 2), steps, hessian) > best


def test_what_is_made_up_for_stays_safe_for_old_kernels() -> None:
    """The last two weights are the largest, and their inputs the smallest: all that the others err lands on them."""
    size = torch.tensor([10.0] * 6 + [1.0] * 2)
    inputs = ((drawn(5000, 1) + 0.05 * drawn(5000, 8, seed=1)) * size).float()
    moments = Moments.empty(8)
    moments.add(inputs, inputs)
    exact = Exact(
        (torch.tensor([0.1] * 6 + [1.0] * 2) * (1 + 0.1 * drawn(20, 8, seed=2))).float(), torch.zeros(20), moments
    )
    loose = round_by_halves(
        exact.weight / quantize_channels(exact.weight, 8)[1][:, None], moments.centred.rounded, 8, 100
    )
    assert largest_pair(loose) > 128
    assert largest_pair(Erq().apply(exact.weight, exact.bias, moments, 8).codes) == 128


def largest_pair(codes: Tensor) -> int:
    return int(codes.int().unflatten(1, (-1, 2)).sum(2).abs().max())
