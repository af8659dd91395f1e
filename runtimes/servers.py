"""Artifacts as latency.py times them: in a worker of its own, or in as many as there are cores to keep busy."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any, Self

from .serving import Load, Opened, Serving
from .worker import Worker

STREAM_SECONDS = 0.2
"""What a turn of streams takes."""
Told = Callable[[Opened], object]


class Served:
    """An artifact loaded in a worker, which is asked for one inference after the other: what is timed is an inference.

    A context manager. `shares` are the cores of the worker, or of each of several; `told` hears what loading took.
    """

    def __init__(self, load: Load, shares: Sequence[Sequence[int]], told: Told) -> None:
        self._load, self._shares, self._told = load, shares, told
        self._stack = ExitStack()
        self.workers: list[Worker] = []
        self.opened: list[Opened] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:  # a worker that cannot open its artifact is not left behind
            for cores in self._shares:
                self.workers.append(stack.enter_context(Worker(Serving, [asdict(self._load)], cores)))
                self.opened.append(Opened(**self.workers[-1].ask("open")))
            self._told(_together(self.opened))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.__exit__(*exception)

    def warm_up(self, seconds: float) -> float:
        """Run until the median is steady, or the time is up; the nanoseconds that a run takes then."""
        return max(float(worker.ask("warm_up", seconds)) for worker in self.workers)

    def turn(self, runs: int) -> Sequence[Sequence[int]]:
        """Of so many runs the nanoseconds, and how often each was interrupted."""
        found: list[list[int]] = self.workers[0].ask("turn", runs)
        return found

    def repeat(self, count: int) -> float:
        """Run so often without a pause; the seconds that it took."""
        return float(self.workers[0].ask("repeat", count))


class Streams(Served):
    """Workers of one thread, all of them busy at once: what is timed is an image."""

    def __init__(self, load: Load, cores: Sequence[int], told: Told, streams: int) -> None:
        share = len(cores) // streams
        shares = [cores[index * share : (index + 1) * share] for index in range(streams)]
        super().__init__(replace(load, threads=1), shares, told)

    def turn(self, runs: int) -> Sequence[Sequence[int]]:  # noqa: ARG002  (streams run for a time)
        """The nanoseconds an image, of all streams together."""
        for worker in self.workers:
            worker.begin("stream", STREAM_SECONDS)
        found = [worker.answer() for worker in self.workers]
        rate = sum(opened.batch * runs / took for opened, (runs, took) in zip(self.opened, found, strict=True))
        return [(round(1 / rate), 0)]


def _together(opened: Sequence[Opened]) -> Opened:
    """What loading took of all workers of an artifact: the time of the slowest, the memory of all."""
    return replace(
        opened[0],
        load_ms=max(one.load_ms for one in opened),
        first_ms=max(one.first_ms for one in opened),
        idle_mb=_sum([one.idle_mb for one in opened]),
        peak_mb=_sum([one.peak_mb for one in opened]),
    )


def _sum(amounts: Sequence[float | None]) -> float | None:
    """Their sum; None where one is not known."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None
