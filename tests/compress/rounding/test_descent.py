import pytest
import torch
from torch import Tensor

from vitc.compress.moments import Moments
from vitc.compress.rounding.descent import Descent, descend
from vitc.compress.rounding.gptq import BLOCK, Gptq
from vitc.compress.rounding.rounded import Exact
from vitc.compress.weights import highest, keep_pairs, pitch, snap


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def hessian_of(width: int) -> Tensor:
    rows = drawn(3 * width, width) @ (drawn(width, width, seed=1) + torch.eye(width))
    return rows.t() @ rows


def error(codes: Tensor, steps: Tensor, hessian: Tensor) -> Tensor:
    off = codes.double() - steps
    return (off @ hessian * off).sum(1)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("width", [1, 7, BLOCK, 2 * BLOCK + 7])
def test_every_sweep_lowers_errors_until_no_code_wants_to_move(width: int, bits: int) -> None:
    steps, hessian = drawn(6, width, seed=2) * highest(bits) / 4, hessian_of(width)
    codes = snap(steps, bits).to(torch.int8)
    if bits == 8:
        codes = keep_pairs(codes)
    for _ in range(100):
        moved = descend(codes, steps, hessian, bits, 1)
        assert (error(moved, steps, hessian) <= error(codes, steps, hessian) * (1 + 1e-9)).all()
        if torch.equal(moved, codes):
            break
        codes = moved
    else:
        pytest.fail("it never comes to rest")
    assert codes.abs().max() <= highest(bits)
    for column in range(width):
        for turn in (-pitch(bits), pitch(bits)):
            other = codes.clone()
            other[:, column] = (codes[:, column] + turn).clamp(-highest(bits), highest(bits))
            if bits == 8:
                other = torch.where(saturates(other)[:, None], codes, other)
            assert (error(other, steps, hessian) >= error(codes, steps, hessian) * (1 - 1e-9)).all()


def saturates(codes: Tensor) -> Tensor:
    even = torch.nn.functional.pad(codes.int(), (0, codes.shape[1] % 2))
    largest: Tensor = even.unflatten(1, (-1, 2)).sum(2).abs().amax(1)
    return largest > 128


def test_many_sweeps_are_as_many_single_ones() -> None:
    steps, hessian = drawn(6, 100, seed=2) * 3, hessian_of(100)
    single = codes = snap(steps, 4).to(torch.int8)
    for _ in range(3):
        single = descend(single, steps, hessian, 4, 1)
    assert torch.equal(descend(codes, steps, hessian, 4, 3), single)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_it_betters_what_it_starts_from(bits: int) -> None:
    moments = Moments.empty(48)
    rows = (drawn(2000, 48, seed=1) @ drawn(48, 48, seed=2)).float()
    moments.add(rows.round(), rows)
    exact = Exact(drawn(12, 48, seed=3).float(), drawn(12, seed=4).float(), moments)
    start, found = (method.apply(exact.weight, exact.bias, moments, bits) for method in (Gptq(), Descent()))
    assert (exact.error(found) <= exact.error(start)).all()
    assert exact.error(found).sum() < exact.error(start).sum()
