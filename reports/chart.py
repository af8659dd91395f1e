"""The chart: accuracy against a cost. What is shown where is decided here, for the page's script and for files."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .points import Point

AXES = {"latency": "latency (ms)", "size": "size (MB)", "memory": "peak memory (MB)", "energy": "energy (mJ)"}
UP = "top-1 (%)"
KINDS = {"float": "untouched", "step": "a step", "final": "result", "rival": "another tool"}
MARKS = {
    "float": "M-5-5h10v10h-10z",
    "step": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "final": "M-7 0a7 7 0 1 0 14 0a7 7 0 1 0-14 0z",
    "rival": "M0-7l7 13h-14z",
}
"""The shape of each kind of point, around its place."""
COLOURS = 12
"""That the page's style has; runs beyond share them."""
FAR = 15.0
"""Points of accuracy below the best, from which on what is near it could no longer be told apart."""
TICKS = 7
MOST_LOST, MOST_NAMED = 8, 24
"""Of runs: in what is said of those not shown, and in the key."""


@dataclass(frozen=True)
class Scale:
    """An axis: its ends, and where it is marked."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """Where a value lies between the ends, from 0 to 1."""
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Plan:
    """What a chart shows of the points: which of them, on which scales, and which of those nothing else beats."""

    across: Scale
    up: Scale
    shown: tuple[int, ...]
    front: tuple[int, ...]
    below: tuple[int, ...] = ()
    """Those that lie too far below the best to be shown with it."""


def plan(points: Sequence[Point], axis: str, *, near: bool = False) -> Plan | None:
    """The chart over an axis, of all points or of those near the best; None where no point has both figures."""
    places = {at: found for at, point in enumerate(points) if (found := place(point, axis))}
    if not places:
        return None
    least = max(up for _, up in places.values()) - FAR if near else -math.inf
    shown = {at: found for at, found in places.items() if found[1] >= least}
    across = [end for at, (cost, _) in shown.items() for end in (cost, *_across(points[at], axis))]
    up = [end for at, (_, top1) in shown.items() for end in (top1, *(points[at].top1_ci or ()))]
    below = tuple(at for at in places if at not in shown)
    return Plan(_scale(across, 1e-3), _scale(up, 0.5), tuple(shown), _front(shown), below)


def nearest(points: Sequence[Point]) -> bool:
    """Whether a chart begins with what is near the best: of several runs some may have lost too much to be drawn."""
    return len({point.run for point in points}) > 1


def place(point: Point, axis: str) -> tuple[float, float] | None:
    """What a point has on an axis, and its accuracy; None where one of the two was not measured."""
    cost: float | None = getattr(point, axis)
    return None if cost is None or point.top1 is None else (cost, point.top1)


def bars(point: Point, axis: str) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The intervals that are known of a point, from end to end."""
    found = place(point, axis)
    if found is None:
        return []
    x, y = found
    (left, right), (low, high) = _across(point, axis), point.top1_ci or (y, y)
    return [ends for ends in (((left, y), (right, y)), ((x, low), (x, high))) if ends[0] != ends[1]]


def meaning(points: Sequence[Point]) -> tuple[str, list[str]]:
    """Which field of a point its colour tells, and the values in the colours' order: runs, or the engines of one."""
    field = "run" if len({point.run for point in points}) > 1 else "runtime"
    return field, list(dict.fromkeys(getattr(point, field) for point in points))


def nothing(axis: str) -> str:
    """What is said where there is nothing to show."""
    return f"Nothing to draw: no artifact has both accuracy and {AXES[axis]}."


def lost(points: Sequence[Point], made: Plan) -> str:
    """What is said of those that are not shown."""
    runs = Counter(points[at].run for at in made.below)
    tops = {run: max(points[at].top1 or 0 for at in made.below if points[at].run == run) for run in runs}
    names = [f"{count} of {run} (at best {tops[run]:.2f} %)" for run, count in runs.items()]
    more = f", and those of {len(names) - MOST_LOST} more runs" if len(names) > MOST_LOST else ""
    listed = ", ".join(names[:MOST_LOST]) + more
    return f"Not shown, for they lie more than {FAR:g} points below the best: {listed}." if names else ""


def _across(point: Point, axis: str) -> tuple[float, float]:
    cost: float = getattr(point, axis)
    return {"latency": point.latency_ci, "energy": point.energy_ci}.get(axis) or (cost, cost)


def _scale(values: Sequence[float], least: float) -> Scale:
    """From below all values to above, marked at round numbers."""
    room = max((max(values) - min(values)) * 0.06, least)
    low, high = min(values) - room, max(values) + room
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= rough)
    ticks = range(math.ceil(low / step), math.floor(high / step) + 1)
    return Scale(low, high, tuple(float(f"{at * step:.6g}") for at in ticks))


def _front(places: Mapping[int, tuple[float, float]]) -> tuple[int, ...]:
    """Those that no other is as cheap as and righter than, from the cheapest on."""
    found: list[int] = []
    for at in sorted(places, key=lambda at: (places[at][0], -places[at][1])):
        if not found or places[at][1] > places[found[-1]][1]:
            found.append(at)
    return tuple(found)
