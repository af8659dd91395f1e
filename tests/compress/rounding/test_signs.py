"""Signs and scales that are found by turns are nearly the best there are, and never worse than a single descent."""

from itertools import product

import pytest
import torch
from torch import Tensor

from vitc.compress.moments import Moments
from vitc.compress.rounding.descent import Descent
from vitc.compress.rounding.gptq import Gptq
from vitc.compress.rounding.nearest import Nearest
from vitc.compress.rounding.refit import refit
from vitc.compress.rounding.rounded import Exact
from vitc.compress.rounding.signs import Signs
from vitc.compress.weights import highest, pitch

OUTPUTS = 40


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exact_of(width: int) -> Exact:
    """A layer whose inputs go together, and are rounded to quarters."""
    moments = Moments.empty(width)
    rows = (drawn(2000, width, seed=1) @ (drawn(width, width, seed=2) + torch.eye(width))).float()
    moments.add((4 * rows).round() / 4, rows)
    return Exact(drawn(OUTPUTS, width, seed=3).float(), drawn(OUTPUTS, seed=4).float(), moments)


def least(exact: Exact, bits: int) -> Tensor:
    """The smallest error of each output over all codes, each with the scale and the bias that suit it best."""
    scale = Nearest().codes(exact.weight, bits)[1]
    levels = range(-highest(bits), highest(bits) + 1, pitch(bits))
    found = torch.full((OUTPUTS,), torch.inf, dtype=torch.float64)
    for codes in product(levels, repeat=exact.weight.shape[1]):
        every = torch.tensor(codes, dtype=torch.int8).expand(OUTPUTS, -1)
        found = torch.minimum(found, exact.error(refit(every, scale, exact)))
    return found


@pytest.mark.parametrize(("bits", "width", "within"), [(1, 1, 1.001), (1, 6, 1.2), (1, 8, 1.25), (2, 4, 1.7)])
def test_it_comes_near_to_the_best_of_all_patterns(bits: int, width: int, within: float) -> None:
    exact = exact_of(width)
    best = least(exact, bits)
    found, gptq = (exact.error(how.apply(exact.weight, exact.bias, exact.moments, bits)) for how in (Signs(), Gptq()))
    assert (found >= best * (1 - 1e-6)).all()
    assert best.sum() <= found.sum() * (1 + 1e-6) <= best.sum() * within
    assert width == 1 or found.sum() < gptq.sum()


@pytest.mark.parametrize("bits", [1, 2])
def test_many_starts_are_better_than_one(bits: int) -> None:
    exact = exact_of(64)
    many, single, plain = (
        exact.error(how.apply(exact.weight, exact.bias, exact.moments, bits)).sum()
        for how in (Signs(), Descent(), Nearest())
    )
    assert many < 0.97 * single < 0.6 * plain


@pytest.mark.parametrize("bits", [1, 2])
def test_codes_are_sums_of_signs(bits: int) -> None:
    exact = exact_of(7)
    found = Signs().apply(exact.weight, exact.bias, exact.moments, bits)
    assert found.codes.dtype == torch.int8
    assert set(found.codes.unique().tolist()) == set(range(-highest(bits), highest(bits) + 1, pitch(bits)))
    assert (found.scale > 0).all()
