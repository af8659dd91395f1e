"""What the samples of several lives say: medians and ratios with 95 % intervals, and how steady all of it was.

1. A turn counts with the median of those of its runs that were interrupted least. What other processes took is left out
   and counted; it says nothing of the artifact.
2. A life counts once: with the median over its rounds, of the logarithm of a time or of the paired difference of two.
   Rounds of one life are not independent, because a process keeps its luck; lives are.
3. From lives to an interval: the Hodges-Lehmann estimate and the interval that belongs to Wilcoxon's signed-rank test.
   It is exact for any distribution that is symmetric, however heavy its tails, and one life that went wrong does not
   widen it. Percentiles of a bootstrap over as few lives cover the truth 84 times of 100, not 95 (docs/decisions/0007).
4. Sampling ends when an interval is narrow, so it tends to end when chance made it narrow. The interval of each look is
   therefore one of 99 %: where sampling really ends it covers the truth in at least 95 cases of 100.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOOK = 0.01
"""How often the interval of one look may miss the truth."""
LEAST = 6
"""Lives that an interval of 95 % needs: the extremes of five miss more often."""
SURE = 8
"""Lives that the interval of one look needs."""
NEAR = 0.05
"""A round is steady when its median lies within this share of the median of all."""

Lives = Sequence[NDArray[np.int64]]


@dataclass(frozen=True)
class Interval:
    """A positive number and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """In logarithms, which for small ones is as good as a share."""
        return math.log(self.high / self.low) / 2

    def narrow(self, tell: float) -> bool:
        """Whether it is narrow enough to tell such a share from none, wherever it lies."""
        return self.half_width <= math.log1p(tell) / 2

    def tells(self, tell: float) -> bool:
        """Whether it says that a ratio is not 1, or that it is nearer to it than such a share."""
        apart = self.low > 1 or self.high < 1
        return apart or self.narrow(tell) or (self.low * (1 + tell) >= 1 and self.high <= 1 + tell)


@dataclass(frozen=True)
class Summary:
    """Milliseconds a run, over those `samples` runs that were interrupted least."""

    p50: float
    """The median of a typical life, which `p50_ci95` and every ratio are about; see `summary`."""
    p90: float
    p99: float
    mean: float
    samples: int
    p50_ci95: tuple[float, float]
    lives: int
    stability_pct: float
    """The share of the rounds whose median lies within 5 % of the median of all."""
    interrupted_pct: float
    """The share of the runs that were left out."""


def summary(lives: Lives) -> Summary:
    """The median of a typical life, and the tail of all runs together.

    The median of all runs together would be another number where a machine has two speeds (cores that other guests
    share): it jumps from one speed to the other with the lives that met them, and belongs to no ratio.
    """
    kept = np.concatenate([life[..., 0][least(life)] for life in lives]) / 1e6
    p90, p99 = (float(value) for value in np.percentile(kept, (90, 99)))
    found, turns = middle(lives), np.concatenate([medians(life) for life in lives])
    steady = np.abs(turns / np.median(turns) - 1) <= NEAR
    left_out = 1 - kept.size / sum(life[..., 0].size for life in lives)
    return Summary(
        found.value / 1e6,
        p90,
        p99,
        float(kept.mean()),
        kept.size,
        (found.low / 1e6, found.high / 1e6),
        len(lives),
        _percent(steady.mean()),
        _percent(left_out),
    )


def middle(lives: Lives) -> Interval:
    """The median nanoseconds of an artifact."""
    return _interval([float(np.median(np.log(medians(life)))) for life in lives])


def ratio(baseline: Lives, candidate: Lives) -> Interval:
    """How many times faster the candidate is."""
    if [len(life) for life in baseline] != [len(life) for life in candidate]:
        raise ValueError("rounds are paired, so both need as many in every life")
    paired = zip(baseline, candidate, strict=True)
    return _interval([float(np.median(np.log(medians(a)) - np.log(medians(b)))) for a, b in paired])


def medians(life: NDArray[np.int64]) -> NDArray[np.float64]:
    """For every turn of a life the median of the runs that were interrupted least."""
    found: NDArray[np.float64] = np.nanmedian(np.where(least(life), life[..., 0], np.nan), axis=1)
    return np.maximum(found, 1.0)  # a clock may be too coarse for what it times


def least(life: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Those runs of each turn that were interrupted least: where nothing disturbs, all of them."""
    interruptions = life[..., 1]
    found: NDArray[np.bool_] = interruptions == interruptions.min(axis=1, keepdims=True)
    return found


def signed_rank(values: Sequence[float], miss: float = LOOK) -> tuple[float, float, float]:
    """The Hodges-Lehmann estimate of where a symmetric distribution is centred, and its interval.

    The estimate is the median of the averages of all pairs, each value with itself too; the interval leaves out as many
    of them at either end as Wilcoxon's distribution allows, and none where there are too few for that.
    """
    found = np.asarray(values)
    rows, columns = np.triu_indices(len(found))
    averages = np.sort((found[rows] + found[columns]) / 2)
    skipped = int(np.searchsorted(np.cumsum(_rank_sums(len(found))), miss / 2, side="right"))
    first = max(skipped - 1, 0)
    return float(np.median(averages)), float(averages[first]), float(averages[len(averages) - 1 - first])


def _rank_sums(count: int) -> NDArray[np.float64]:
    """How likely each sum of positive ranks is when a distribution is centred on nought."""
    chances = np.ones(1)
    for rank in range(1, count + 1):
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    return chances


def _interval(logarithms: Sequence[float]) -> Interval:
    return Interval(*(math.exp(value) for value in signed_rank(logarithms)))


def _percent(share: float) -> float:
    return round(100 * float(share), 1)
