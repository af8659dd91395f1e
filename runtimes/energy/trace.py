"""What a meter told while it was watched: joules by the second, whether it counts them or tells watts.

A counter gives a point whenever it moved; a meter of watts gives one whenever it spoke, and what it says holds for the
time since it spoke before. The mean power between two points is then known without regard to how often it speaks: the
edges of a stretch are those of its points, not those of the work.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from .meter import Meter, NoReading


@dataclass(frozen=True)
class Power:
    """The mean power over a stretch, and how wrong it may be for the meter's steps alone, in watts."""

    watts: float
    resolution: float


class Trace:
    """The points so far; `poll` is called every `step` seconds, from any thread."""

    def __init__(self, meter: Meter, clock: Callable[[], float], step: float) -> None:
        self._meter, self._clock, self._step = meter, clock, step
        self._points: list[tuple[float, float]] = []
        self._told: float | None = None
        self._finest = 0.0
        self._lost: NoReading | None = None

    def poll(self) -> None:
        """Ask the meter."""
        if self._lost:
            return
        try:
            reading = self._meter.read()
        except NoReading as why:
            self._lost = why
            return
        if reading is None:
            return
        at = self._clock() if reading.at is None else reading.at
        if self._meter.counts:
            if reading.value != self._told:
                self._points.append((at, reading.value))
        elif not self._points:
            self._points.append((at, 0.0))
        elif at > self._points[-1][0]:
            before, joules = self._points[-1]
            self._points.append((at, joules + reading.value * (at - before)))
        self._told = reading.value
        self._finest = max(self._finest, reading.step)

    def check(self) -> None:
        """Raise what ended the reading."""
        if self._lost:
            raise self._lost

    def gaps(self) -> list[float]:
        """The seconds from point to point."""
        times = [at for at, _ in self._points]
        return [later - at for at, later in pairwise(times)]

    def interval(self) -> float:
        """How often the meter has something new."""
        return median(self.gaps())

    def power(self, start: float, end: float) -> Power | None:
        """Between the first and the last point of a stretch; None where they do not even span half of it."""
        inside = [point for point in self._points if start <= point[0] <= end]
        if not inside or inside[-1][0] - inside[0][0] < (end - start) / 2:
            return None
        (first, before), (last, after) = inside[0], inside[-1]
        watts = (after - before) / (last - first)
        # A count is late by a look at it, if not known better; what a meter of watts says is rounded to its finest.
        late = watts * (self._finest or self._step) / (last - first)
        return Power(watts, late if self._meter.counts else self._finest / 2)
