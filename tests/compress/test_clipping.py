import math
from itertools import pairwise, product

import numpy as np
import pytest
from numpy.typing import NDArray

from vitc.compress.clipping import BINS, METHODS, PERCENTILE, Histogram
from vitc.compress.scheme import SCHEMES, Scheme

Values = NDArray[np.float64]
EXPONENTS = {"mse": 2, "cubic": 3}
SEARCHES = (*EXPONENTS, "entropy")


def bell(scale: float = 1.0, count: int = 5_000) -> Values:
    return np.random.default_rng(0).normal(size=count) * scale


def gelu() -> Values:
    x = bell(2.0) - 1
    return np.array([value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x])


def heavy(count: int = 5_000) -> Values:
    return np.random.default_rng(1).standard_t(3, size=count)


VALUES = {
    "bell": bell(),
    "gelu": gelu(),
    "relu": bell().clip(0),
    "negative": -np.abs(bell()),
    "heavy": heavy(),
    "far": bell(0.1) + 5,
}
each_values = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
each_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES.keys())


def histogram(values: Values) -> Histogram:
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    return Histogram(low, high, np.histogram(values, BINS, (low, high))[0])


def loss(values: Values, limits: tuple[float, float], bits: int, scheme: Scheme, exponent: int) -> float:
    grid = scheme.grid(*limits, bits)
    codes = np.clip(np.rint(values / grid.scale) + grid.zero_point, grid.lowest, grid.highest)
    return float((np.abs((codes - grid.zero_point) * grid.scale - values) ** exponent).mean())


@each_values
@each_scheme
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_limits_lie_within_the_extremes(values: Values, scheme: Scheme, method: str, bits: int) -> None:
    counted = histogram(values)
    low, high = METHODS[method](counted, bits, scheme)
    assert counted.low <= low <= 0 <= high <= counted.high
    assert low < high


@each_values
@each_scheme
@pytest.mark.parametrize("method", EXPONENTS)
@pytest.mark.parametrize("bits", [3, 4, 6, 8])
def test_a_search_finds_what_trying_all_limits_finds(values: Values, scheme: Scheme, method: str, bits: int) -> None:
    counted = histogram(values)
    shares = np.linspace(0.05, 1, 20)
    best = min(
        loss(values, (low * counted.low, high * counted.high), bits, scheme, EXPONENTS[method])
        for low, high in product(shares, shares)
    )
    found = METHODS[method](counted, bits, scheme)
    assert loss(values, found, bits, scheme, EXPONENTS[method]) <= 1.05 * best


@each_values
@pytest.mark.parametrize("bits", [3, 4])
def test_clipping_pays_at_low_bits(values: Values, bits: int) -> None:
    counted, scheme = histogram(values), SCHEMES["asymmetric"]
    everything = METHODS["minmax"](counted, bits, scheme)
    for method, exponent in EXPONENTS.items():
        found = METHODS[method](counted, bits, scheme)
        assert loss(values, found, bits, scheme, exponent) <= loss(values, everything, bits, scheme, exponent)


def test_more_bits_and_higher_powers_clip_later() -> None:
    counted, scheme = histogram(heavy()), SCHEMES["asymmetric"]
    reach = {(m, bits): METHODS[m](counted, bits, scheme)[1] for m in ("mse", "cubic") for bits in (3, 4, 6, 8)}
    for method in ("mse", "cubic"):
        widths = [reach[method, bits] for bits in (3, 4, 6, 8)]
        assert widths == sorted(widths)
    assert all(reach["mse", bits] < reach["cubic", bits] for bits in (3, 4))


def test_both_ends_are_chosen_apart() -> None:
    one_freak = np.concatenate([bell(count=200_000), [-40.0]])
    low, high = METHODS["mse"](histogram(one_freak), 4, SCHEMES["asymmetric"])
    assert -4 < low < -1.5
    assert 1.5 < high < 4


def test_a_symmetric_grid_has_one_threshold() -> None:
    values = np.concatenate([bell(count=200_000), [-40.0]])
    low, high = METHODS["mse"](histogram(values), 4, SCHEMES["symmetric"])
    assert high == pytest.approx(-low)


def test_minmax_is_everything() -> None:
    counted = histogram(heavy())
    assert METHODS["minmax"](counted, 4, SCHEMES["asymmetric"]) == (counted.low, counted.high)


def test_percentile_leaves_out_the_tails() -> None:
    values = heavy(200_000)
    low, high = METHODS["percentile"](histogram(values), 8, SCHEMES["asymmetric"])
    for left_out in ((values < low).mean(), (values > high).mean()):
        assert left_out == pytest.approx(1 - PERCENTILE, rel=0.1)


def test_percentile_keeps_what_is_at_one_end() -> None:
    low, high = METHODS["percentile"](histogram(np.abs(bell())), 8, SCHEMES["asymmetric"])
    assert low == pytest.approx(0, abs=1e-3)
    assert 3.5 < high < 4.1


def divergence(counted: Histogram, limits: tuple[float, float], bits: int, scheme: Scheme) -> float:
    """KL(P || Q), bin by bin; an outer bin that holds only what was clipped is matched as the rest of its cell is."""
    grid = scheme.grid(*limits, bits)
    borders = [grid.scale * (code - grid.zero_point - 0.5) for code in range(grid.lowest, grid.highest + 2)]
    places = [int(np.clip(np.rint((x - counted.low) / counted.width), 0, BINS)) for x in borders]
    true = counted.counts.astype(float)
    matched = np.zeros(BINS)
    for first, last in pairwise(places):
        filled = true[first:last] > 0
        matched[first:last] = true[first:last].sum() / max(filled.sum(), 1)
    total = true[places[0] : places[-1]].sum()
    true[places[0]] += counted.counts[: places[0]].sum()
    true[places[-1] - 1] += counted.counts[places[-1] :].sum()
    p, q = (each[places[0] : places[-1]] for each in (true / true[places[0] : places[-1]].sum(), matched / total))
    if (q[p > 0] == 0).any():
        return math.inf
    return float(np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])))


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES.keys())
@pytest.mark.parametrize("name", ["bell", "relu", "heavy"])
@pytest.mark.parametrize("bits", [4, 6])
def test_entropy_finds_what_trying_all_limits_finds(name: str, scheme: Scheme, bits: int) -> None:
    counted = histogram(VALUES[name])
    found = divergence(counted, METHODS["entropy"](counted, bits, scheme), bits, scheme)
    shares = np.linspace(0.1, 1, 10)
    others = [
        divergence(counted, (low * counted.low, high * counted.high), bits, scheme)
        for low, high in product(shares, shares)
    ]
    assert found <= 1.05 * min(others)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ends", [(0.0, 0.0), (0.0, 1e-38), (-1e-45, 0.0)])
def test_zeros_have_a_range(method: str, ends: tuple[float, float]) -> None:
    counts = np.zeros(BINS, np.int64)
    counts[0] = 100
    low, high = METHODS[method](Histogram(*ends, counts), 4, SCHEMES["asymmetric"])
    assert ends[0] <= low <= high <= ends[1]


@pytest.mark.parametrize("method", SEARCHES)
def test_one_value_is_kept(method: str) -> None:
    counts = np.zeros(BINS, np.int64)
    counts[-1] = 100
    low, high = METHODS[method](Histogram(0.0, 5.0, counts), 4, SCHEMES["asymmetric"])
    assert low == 0.0
    grid = SCHEMES["asymmetric"].grid(low, high, 4)
    assert abs(min(grid.highest, round(5 / grid.scale)) * grid.scale - 5) <= 5 / BINS
