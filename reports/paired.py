"""Two classifiers on the same images: how far apart they are, and whether that can be chance.

Only the images that one of them has right and the other wrong say anything. Whether they fall evenly is McNemar's exact
test; how far the accuracies are apart is bounded by inverting the score test of Tango (Statistics in Medicine, 1998),
which holds its level when such images are few, or none.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import binomtest, norm

LEVEL = 0.95
"""Of intervals: a bound is wrong at most half of what is left of 1."""
REACH = float(norm.ppf((1 + LEVEL) / 2))
MOST_IMAGES = 10**7
"""To ask for more than so many says nothing."""


@dataclass(frozen=True)
class Flips:
    """How many of `images` were right before and are not after, and the other way round."""

    images: int
    lost: int
    won: int

    @classmethod
    def of(cls, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> "Flips":
        """From whether each image was right."""
        return cls(len(before), int((before & ~after).sum()), int((after & ~before).sum()))

    @property
    def drop(self) -> float:
        """Points of accuracy that were lost."""
        return 100 * (self.lost - self.won) / self.images

    @property
    def chance(self) -> float:
        """How likely a split as uneven is between classifiers that are equally right."""
        flips = self.lost + self.won
        return float(binomtest(self.lost, flips).pvalue) if flips else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the drop in points, at LEVEL."""
        seen = self.drop / 100
        low, high = ((seen, -1.0, REACH), (seen, 1.0, -REACH))
        return 100 * self._crossing(*low), 100 * self._crossing(*high)

    def more_images(self, limit: float) -> int | None:
        """How many more would put a limit (in points) outside of the interval, if they were like these.

        None: the drop is so near the limit that no number worth asking for would.
        """
        apart = abs(self._score(limit / 100))
        wanted = self.images * (REACH / apart) ** 2 if apart else math.inf
        return max(0, math.ceil(wanted) - self.images) if wanted < MOST_IMAGES else None

    def _crossing(self, seen: float, end: float, reach: float) -> float:
        """Where between the drop that was seen and an end of all drops the score is `reach`."""
        if seen == end:
            return end
        inner = end - math.copysign(1e-9, end)
        return float(brentq(lambda drop: self._score(drop) - reach, seen, inner, xtol=1e-9))

    def _score(self, drop: float) -> float:
        """How many standard deviations what was seen lies above a drop (a share), if that were the true one."""
        n, b, c = self.images, self.lost, self.won
        linear = (2 * n - b + c) * drop - b - c
        won = (math.sqrt(linear**2 + 8 * n * c * drop * (1 - drop)) - linear) / (4 * n)
        variance = n * (2 * won + drop * (1 - drop))
        return (b - c - n * drop) / math.sqrt(variance) if variance > 0 else 0.0
