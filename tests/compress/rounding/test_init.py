"""What holds for every rounding, whatever the inputs were."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from vitc.compress.moments import Moments
from vitc.compress.rounding import ROUNDINGS, Rounded
from vitc.compress.rounding.rounded import Exact
from vitc.compress.weights import highest

COMPENSATED = [name for name in ROUNDINGS if name not in {"nearest", "bias"}]


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def third(width: int) -> Tensor:
    """Every third column."""
    return torch.arange(width) % 3 == 0


KINDS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda rows: rows,
    "correlated": lambda rows: rows @ drawn(1, rows.shape[1], rows.shape[1]) + drawn(2, rows.shape[1]),
    "outliers": lambda rows: rows * torch.where(third(rows.shape[1]), 50, 1),
    "few": lambda rows: rows[:3],
    "one row": lambda rows: rows[:1],
    "repeated": lambda rows: rows[:, :1].expand_as(rows).contiguous(),
    "constant columns": lambda rows: torch.where(third(rows.shape[1]), 7.0, rows),
    "dead columns": lambda rows: torch.where(third(rows.shape[1]), 0.0, rows),
    "nothing": torch.zeros_like,
}
"""What inputs [R, K] are made of independent ones: as they come, and as they should not."""


def layer(kind: str, width: int = 17, seed: int = 0, steps: int = 16) -> Exact:
    """A layer of six outputs whose inputs are rounded to so many steps."""
    exact = KINDS[kind](drawn(seed, 400, width))
    step = float(exact.max() - exact.min()) / steps or 1.0
    moments = Moments.empty(width)
    moments.add((exact / step).round() * step, exact)
    return Exact(
        drawn(seed + 3, 6, width) * torch.tensor([[1.0], [0.01], [1.0], [5.0], [1.0], [1.0]]), drawn(4, 6), moments
    )


def rounded(name: str, exact: Exact, bits: int) -> Rounded:
    return ROUNDINGS[name].apply(exact.weight, exact.bias, exact.moments, bits)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", COMPENSATED)
def test_no_output_errs_more_than_with_the_nearest_codes(name: str, kind: str, bits: int) -> None:
    for width, seed in ((17, 0), (64, 10), (1, 20)):
        exact = layer(kind, width, seed)
        errors = {other: exact.error(rounded(other, exact, bits)) for other in (name, "bias", "nearest")}
        slack = 1e-9 * exact.moments.power(exact.weight, exact.bias)
        assert (errors[name] <= errors["bias"] + slack).all()
        assert (errors["bias"] <= errors["nearest"] + slack).all()


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("name", ROUNDINGS)
def test_what_comes_out_is_what_artifacts_hold(name: str, bits: int) -> None:
    for kind in KINDS:
        exact = layer(kind)
        found = rounded(name, exact, bits)
        assert (found.codes.dtype, found.codes.shape) == (torch.int8, exact.weight.shape)
        assert found.scale.dtype == found.bias.dtype == torch.float32
        assert found.scale.shape == found.bias.shape == exact.bias.shape
        assert found.codes.abs().max() <= highest(bits)
        assert bits > 1 or found.codes.abs().min() == 1
        assert (found.scale >= torch.finfo(torch.float32).tiny).all()
        assert found.scale.isfinite().all()
        assert found.bias.isfinite().all()


@pytest.mark.parametrize("width", [1, 2, 17, 64])
@pytest.mark.parametrize("name", ROUNDINGS)
def test_no_two_neighbours_of_8_bits_saturate(name: str, width: int) -> None:
    for kind in KINDS:
        exact = layer(kind, width)
        alike = Exact(exact.weight.sign() * (1 + 0.01 * exact.weight), exact.bias, exact.moments)
        for case in (exact, alike):
            codes = torch.nn.functional.pad(rounded(name, case, 8).codes.int(), (0, width % 2))
            assert codes.unflatten(1, (-1, 2)).sum(2).abs().max() <= 128


@pytest.mark.parametrize("name", COMPENSATED)
def test_compensation_pays_where_inputs_tell_of_each_other(name: str) -> None:
    exact = layer("correlated", 64, 30)
    assert exact.error(rounded(name, exact, 4)).sum() < 0.95 * exact.error(rounded("bias", exact, 4)).sum()


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("name", ROUNDINGS)
def test_a_weight_on_the_grid_stays_as_it_is(name: str, bits: int) -> None:
    top = highest(bits)
    codes = torch.randint(-(top // 2), top // 2 + 1, (6, 18), generator=torch.Generator().manual_seed(0))
    codes[:, :2] = torch.tensor([top, 0])
    moments = Moments.empty(18)
    rows = drawn(5, 100, 18)
    moments.add(rows, rows)
    exact = Exact(codes * 0.25, drawn(6, 6), moments)
    found = rounded(name, exact, bits)
    assert torch.equal(found.codes.long(), codes)
    torch.testing.assert_close(found.weight.float(), exact.weight)
    torch.testing.assert_close(found.bias, exact.bias)


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("name", ROUNDINGS)
def test_outputs_do_not_know_of_each_other(name: str, bits: int) -> None:
    exact, order = layer("correlated", 33, 40), torch.tensor([3, 1, 5, 0, 2, 4])
    moved = Exact(exact.weight[order], exact.bias[order], exact.moments)
    first, second = rounded(name, exact, bits), rounded(name, moved, bits)
    assert torch.equal(first.codes[order], second.codes)
    torch.testing.assert_close(first.scale[order], second.scale)
    torch.testing.assert_close(first.bias[order], second.bias)


@pytest.mark.parametrize("name", COMPENSATED)
def test_the_size_of_the_inputs_makes_no_difference(name: str) -> None:
    exact = layer("correlated", 16, 50)
    larger = Moments.empty(16)
    larger.rows = exact.moments.rows
    stretch = torch.diag(torch.tensor([256.0] * 16 + [1.0]).double())
    for part in ("rounded", "shift", "noise"):
        setattr(larger, part, stretch @ getattr(exact.moments, part) @ stretch)
    again = rounded(name, Exact(exact.weight / 256, exact.bias, larger), 4)
    assert torch.equal(again.codes, rounded(name, exact, 4).codes)


@pytest.mark.parametrize("name", ROUNDINGS)
def test_the_given_tensors_stay_as_they_were(name: str) -> None:
    exact = layer("correlated", 16, 60)
    weight, inputs = exact.weight.clone(), exact.moments.rounded.clone()
    rounded(name, exact, 4)
    assert torch.equal(weight, exact.weight)
    assert torch.equal(inputs, exact.moments.rounded)
