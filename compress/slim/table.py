"""How long a narrower model takes, told from a table: each kind of dimension measured alone, at a few widths.

NViT (arXiv 2110.04869) prices its steps by such a table. Time is no product of widths, but nearly one of shares: what a
kind saves alone is looked up by the multiply-adds that it is left with, and the kinds are multiplied.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .cuts import Group, Kept
from .plan import Objective, Terms, uniform

SHARES = (0.75, 0.5)
"""Widths that each kind is measured at."""


@dataclass(frozen=True)
class Table:
    """For each kind, points of multiply-adds and time, both as shares, falling from (1, 1)."""

    points: Mapping[str, Sequence[tuple[float, float]]]
    macs: Objective
    groups: Sequence[Group]

    def __call__(self, kept: Kept) -> float:
        """The time of a narrowed model, as a share of the whole one's."""
        told = 1.0
        for kind, points in self.points.items():
            alone = {g.name: kept[g.name] if g.kind == kind else g.whole for g in self.groups}
            told *= look_up(points, self.macs(alone))
        return told


def look_up(points: Sequence[tuple[float, float]], share: float) -> float:
    """The time at a share of the multiply-adds: straight between the points, and on in the last direction."""
    (x1, y1), (x0, y0) = points[-2], points[-1]
    if share < x0:
        return float(max(y0 + (share - x0) * (y1 - y0) / (x1 - x0), 0.01))
    xs, ys = zip(*reversed(points), strict=True)
    return float(np.interp(share, xs, ys))


def measure(terms: Terms, clock: Callable[[Kept], float]) -> Table:
    """The table of a model: each kind is cut alone, and the clock asked."""
    points: dict[str, list[tuple[float, float]]] = {}
    for kind in dict.fromkeys(group.kind for group in terms.groups):
        those = points.setdefault(kind, [(1.0, 1.0)])
        for share in SHARES:
            kept = uniform(terms, kind, share)
            macs = terms.objective(kept)
            if macs < those[-1][0]:
                those.append((macs, min(clock(kept), those[-1][1] - 1e-4)))  # noise never makes less work longer
    return Table({kind: those for kind, those in points.items() if len(those) > 1}, terms.objective, terms.groups)
