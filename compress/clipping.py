"""Where a quantized tensor's range should end: methods that choose it from a histogram of the tensor's values.

All of them are pure functions of the counts, so neither the order nor the number of the images matters to them.

What is best for the layer that reads a tensor is not best for the model. On DeiT-Tiny with only activations rounded,
the squared error leads to the smallest error of every linear's output, at 8, 6 and 4 bits; but the model strays less
from its float answers, at all three, where the *cubed* error is least: its rare large values mean something.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .scheme import Scheme

BINS = 4096
"""Sixteen bins to a step at 8 bits over the whole range."""
PERCENTILE = 0.9999
"""The share of values that `percentile` holds at either end."""
RATIO = 2**0.5
"""Between neighbouring candidates when a search begins."""
COARSE = tuple(RATIO**-step for step in range(12))
"""The shares of an extreme that are tried first: down to a 45th, for long tails."""
REFINEMENTS = 4
"""How often the search then looks around the best candidate, each time at half the distance."""
NARROWEST = 2.0**-100
"""Values that all lie within this are taken for zeros: a bin of such a width has no inverse."""

Floats = NDArray[np.float64]
Limits = tuple[float, float]


@dataclass(frozen=True)
class Histogram:
    """How many values lie in each of equal bins from `low`, at most 0, to `high`, at least 0."""

    low: float
    high: float
    counts: NDArray[np.int64]

    @property
    def width(self) -> float:
        """Of one bin."""
        return (self.high - self.low) / len(self.counts)


@dataclass(frozen=True)
class Grids:
    """Candidates, N of them: as `scheme.Grid`, with steps and zero points [N, 1] and codes in common."""

    steps: Floats
    zeros: Floats
    lowest: int
    highest: int

    @classmethod
    def over(cls, limits: list[Limits], bits: int, scheme: Scheme) -> "Grids":
        """The grids that a scheme makes of limits."""
        grids = [scheme.grid(low, high, bits) for low, high in limits]
        steps, zeros = (np.array(each)[:, None] for each in zip(*((g.scale, g.zero_point) for g in grids), strict=True))
        return cls(steps, zeros, grids[0].lowest, grids[0].highest)


Method = Callable[[Histogram, int, Scheme], Limits]
"""Chooses low and high for a number of bits under a scheme."""
Loss = Callable[[Grids], Floats]
"""What is to be small, [N]."""


def minmax(histogram: Histogram, bits: int, scheme: Scheme) -> Limits:  # noqa: ARG001 (a method's signature)
    """Everything. For 8 bits, where steps are small anyway and the rare large values are the ones that matter."""
    return histogram.low, histogram.high


def percentile(histogram: Histogram, bits: int, scheme: Scheme) -> Limits:  # noqa: ARG001 (a method's signature)
    """All but the outermost values of both ends. For a few freak values; blind to how far out they are, and to bits."""
    total = np.concatenate([[0], np.cumsum(histogram.counts)])
    edges = histogram.low + histogram.width * np.arange(len(total))
    tail = total[-1] * (1 - PERCENTILE)
    low, high = np.interp([tail, total[-1] - tail], total, edges)
    return min(float(low), 0.0), max(float(high), 0.0)


def mse(histogram: Histogram, bits: int, scheme: Scheme) -> Limits:
    """The least squared error of rounding and clipping. For inputs without outliers, as rotations leave them."""
    return _search(histogram, bits, scheme, _powers(histogram, 2))


def cubic(histogram: Histogram, bits: int, scheme: Scheme) -> Limits:
    """The least cubed error: clips later than `mse`. For transformers at low bits, whose few outliers matter."""
    return _search(histogram, bits, scheme, _powers(histogram, 3))


def entropy(histogram: Histogram, bits: int, scheme: Scheme) -> Limits:
    """The least Kullback-Leibler divergence of the rounded values from the true ones, as TensorRT calibrates.

    It weighs how often a value occurs and not how large it is. For the ReLU networks that it was made for.
    """
    return _search(histogram, bits, scheme, _divergence(histogram))


METHODS = MappingProxyType({"minmax": minmax, "percentile": percentile, "mse": mse, "cubic": cubic, "entropy": entropy})
"""By the names that a recipe has for them."""


def _search(histogram: Histogram, bits: int, scheme: Scheme, loss: Loss) -> Limits:
    """The limits of least loss: shares of both extremes in all combinations, then ever closer around the best."""
    best = histogram.low, histogram.high
    if histogram.high - histogram.low < NARROWEST:
        return best
    lows, highs = COARSE, COARSE
    for halvings in range(1, REFINEMENTS + 2):
        pairs = _pairs(histogram, lows, highs, scheme)
        limits = [_limits(histogram, pair, scheme) for pair in pairs]
        least = int(np.argmin(loss(Grids.over(limits, bits, scheme))))
        best = limits[least]
        around = [RATIO ** (step / 2**halvings) for step in (2, 1, 0, -1, -2)]
        lows, highs = (tuple(min(share * factor, 1.0) for factor in around) for share in pairs[least])
    return best


def _pairs(
    histogram: Histogram, lows: tuple[float, ...], highs: tuple[float, ...], scheme: Scheme
) -> list[tuple[float, float]]:
    """The shares to try, the widest first and none twice; a symmetric grid has one, and an end at zero needs none."""
    if scheme.symmetric:
        return [(share, share) for share in dict.fromkeys(highs)]
    return list(dict.fromkeys(product(lows if histogram.low else (1.0,), highs if histogram.high else (1.0,))))


def _limits(histogram: Histogram, shares: tuple[float, float], scheme: Scheme) -> Limits:
    """The range that holds these shares of the extremes, under a symmetric scheme of the larger one."""
    if scheme.symmetric:
        reach = shares[0] * max(-histogram.low, histogram.high)
        return max(histogram.low, -reach), min(histogram.high, reach)
    return shares[0] * histogram.low, shares[1] * histogram.high


def _powers(histogram: Histogram, exponent: int) -> Loss:
    """The mean of the errors' powers, every value taken for the middle of its bin."""
    filled = histogram.counts.nonzero()[0]
    shares = histogram.counts[filled] / histogram.counts.sum()
    middles = histogram.low + histogram.width * (filled + 0.5)

    def loss(grids: Grids) -> Floats:
        errors = np.rint(middles / grids.steps)
        np.clip(errors, grids.lowest - grids.zeros, grids.highest - grids.zeros, out=errors)
        errors *= grids.steps
        errors -= middles
        np.abs(errors, out=errors)
        powers = errors * errors
        if exponent == 3:
            powers *= errors
        return np.asarray(powers @ shares)

    return loss


def _divergence(histogram: Histogram) -> Loss:
    """KL(P || Q) over bins: P heaps what is clipped on its outer bins, Q spreads a cell's own over its filled bins."""
    counts = histogram.counts.astype(np.float64)
    filled = (counts > 0).astype(np.float64)
    sums = np.cumsum(np.stack([counts, filled, _times_log(counts, counts)]), axis=1)
    mass, bins, logs = np.concatenate([np.zeros((3, 1)), sums], axis=1)

    def loss(grids: Grids) -> Floats:
        borders = grids.steps * (np.arange(grids.lowest, grids.highest + 2) - 0.5 - grids.zeros)
        places = np.clip(np.rint((borders - histogram.low) / histogram.width), 0, len(counts)).astype(np.int64)
        own = np.diff(mass[places])
        spread = own / np.maximum(np.diff(bins[places]), 1)
        first, last = np.minimum(places[:, 0], len(counts) - 1), np.maximum(places[:, -1] - 1, 0)
        true, matched = logs[places[:, -1]] - logs[places[:, 0]], np.sum(_times_log(own, spread), axis=1)
        for bin_, cell, clipped in (
            (first, spread[:, 0], mass[places[:, 0]]),
            (last, spread[:, -1], mass[-1] - mass[places[:, -1]]),
        ):
            heaped = counts[bin_] + clipped
            true += _times_log(heaped, heaped) - _times_log(counts[bin_], counts[bin_])
            matched += _times_log(clipped, cell)
        return np.asarray((true - matched) / mass[-1] + np.log(np.maximum(np.sum(own, axis=1), 1) / mass[-1]))

    return loss


def _times_log(weights: Floats, values: Floats) -> Floats:
    """`weights * log(values)`; nothing where nothing is weighed, minus infinity where only the value is zero."""
    with np.errstate(divide="ignore"):
        return np.multiply(weights, np.log(values), out=np.zeros_like(weights), where=weights > 0)
