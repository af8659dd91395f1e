from itertools import product

import pytest
import torch
from torch import Tensor

from vitc.compress.moments import Moments
from vitc.compress.rounding.bias import Bias
from vitc.compress.rounding.gptq import BLOCK, Gptq, nearest_plane
from vitc.compress.weights import highest, keep_pairs, snap


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def hessian_of(width: int, seed: int = 0) -> Tensor:
    """Second moments of inputs that are far from independent."""
    rows = drawn(3 * width, width, seed=seed) @ (drawn(width, width, seed=seed + 1) + torch.eye(width))
    return rows.t() @ rows


def error(codes: Tensor, steps: Tensor, hessian: Tensor) -> Tensor:
    off = codes.double() - steps
    return (off @ hessian * off).sum(1)


def by_the_paper(steps: Tensor, hessian: Tensor, bits: int) -> Tensor:
    """GPTQ as it was published: from the Cholesky factor of the inverse."""
    factor = torch.linalg.cholesky(torch.linalg.inv(hessian), upper=True)
    left, codes = steps.clone(), torch.zeros_like(steps)
    for column in range(steps.shape[1]):
        codes[:, column] = snap(left[:, column], bits)
        off = (left[:, column] - codes[:, column]) / factor[column, column]
        left -= torch.outer(off, factor[column])
    return codes.to(torch.int8)


@pytest.mark.parametrize("bits", [1, 2, 4, 6])
@pytest.mark.parametrize("width", [1, 5, BLOCK, 2 * BLOCK + 7])
def test_the_nearest_plane_gives_the_codes_of_the_paper(width: int, bits: int) -> None:
    steps, hessian = drawn(9, width, seed=2) * highest(bits) / 2, hessian_of(width)
    assert torch.equal(nearest_plane(steps, hessian, bits), by_the_paper(steps, hessian, bits))


@pytest.mark.parametrize("bits", [1, 4, 7])
def test_inputs_that_have_nothing_to_do_with_each_other_give_the_nearest_codes(bits: int) -> None:
    steps, hessian = drawn(9, 31) * 5, torch.diag(drawn(31, seed=1).square() + 0.1)
    assert torch.equal(nearest_plane(steps, hessian, bits), snap(steps, bits).to(torch.int8))


def test_an_order_is_an_order_and_nothing_else() -> None:
    steps, hessian = drawn(9, 70) * 3, hessian_of(70)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(0))
    sorted_first = nearest_plane(steps[:, order], hessian[order][:, order], 4)
    assert torch.equal(nearest_plane(steps, hessian, 4, order)[:, order], sorted_first)


@pytest.mark.parametrize("bits", [1, 2])
def test_few_columns_come_out_about_as_well_as_can_be(bits: int) -> None:
    allowed = (-1.0, 1.0) if bits == 1 else (-3.0, -1.0, 1.0, 3.0)
    everything = torch.tensor(list(product(allowed, repeat=5)), dtype=torch.float64)
    best = found = nearest = 0.0
    for seed in range(20):
        steps, hessian = drawn(6, 5, seed=seed), hessian_of(5, seed)
        best += float(torch.stack([error(codes.expand(6, -1), steps, hessian) for codes in everything]).amin(0).sum())
        found += float(error(nearest_plane(steps, hessian, bits), steps, hessian).sum())
        nearest += float(error(snap(steps, bits), steps, hessian).sum())
    assert best <= found < 1.8 * best
    assert found < 0.9 * nearest


def test_a_pair_at_its_limit_is_made_up_for_by_others() -> None:
    steps, hessian = drawn(20, 40) + torch.where(torch.arange(40) < 4, 64.0, 0.0), hessian_of(40)
    codes, plain = nearest_plane(steps, hessian, 8), keep_pairs(snap(steps, 8).to(torch.int8))
    assert codes.int().unflatten(1, (-1, 2)).sum(2).abs().max() == 128
    assert error(codes, steps, hessian).sum() < 0.5 * error(plain, steps, hessian).sum()


def test_other_images_err_less_too() -> None:
    mix, weight, bias = drawn(32, 32, seed=1).float(), drawn(20, 32, seed=2).float(), drawn(20, seed=3).float()
    seen = [Moments.empty(32), Moments.empty(32)]
    for at, moments in enumerate(seen):
        rows = drawn(4000, 32, seed=10 + at).float() @ mix
        moments.add((rows * 4).round() / 4, rows)
    found, plain = (method.apply(weight, bias, seen[0], 4) for method in (Gptq(), Bias()))
    for moments in seen:
        new, old = (moments.error(layer.weight, layer.bias, weight, bias).sum() for layer in (found, plain))
        assert new < 0.6 * old
