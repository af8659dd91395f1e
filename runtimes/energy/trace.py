"""What a meter told while it was watched: joules by the second, whether it counts them or tells watts.

A counter gives a point whenever it moved; a meter of watts gives one whenever it spoke, and what it says holds for the
time since it spoke before. The mean power between two points is then known without regard to how often it speaks: the
edges of a stretch are those of its points, not those of the work.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from .meter import Meter, NoReading, Reading


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
        self._news: list[float] = []
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
        if reading is not None:
            self._note(self._clock() if reading.at is None else reading.at, reading)

    def _note(self, at: float, reading: Reading) -> None:
        self._finest = max(self._finest, reading.step)
        changed, self._told = reading.value != self._told, reading.value
        before, joules = self._points[-1] if self._points else (at, 0.0)
        if self._meter.counts:
            if changed:
                self._points.append((at, reading.value))
        elif at > before or not self._points:
            self._points.append((at, joules + reading.value * (at - before)))
        if self._points[-1][0] == at and (changed or reading.at is not None) and self._news[-1:] != [at]:
            self._news.append(at)

    def check(self) -> None:
        """Raise what ended the reading."""
        if self._lost:
            raise self._lost

    def gaps(self) -> list[float]:
        """The seconds from one time that the meter told something new to the next."""
        return [later - at for at, later in pairwise(self._news)]

    def interval(self) -> float | None:
        """How often it does; None where it hardly did.

        Watts that can be asked for at any time may well stay the same: they are new whenever they are asked for.
        """
        gaps = self.gaps()
        if len(gaps) >= 2:
            return median(gaps)
        return self._step if not self._meter.counts and len(self._points) > 2 + len(self._news) else None

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
