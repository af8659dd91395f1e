"""What a worker does that serves one artifact and nothing else: it is timed, and its memory is measured."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from . import RUNTIMES, feeds, machine, memory
from .audit import audit

RUNS = 5
"""Before the peak is read: always as many, so that peaks can be compared."""
STEADY = 0.02
"""Warm-up ends when two medians in a row differ by less than this share."""
WINDOW = 5
"""Runs that such a median is of."""
REST_SECONDS, GLANCE_SECONDS = 0.25, 0.005
"""How long a turn waits at most for threads to rest, and between two looks at them."""


@dataclass(frozen=True)
class Load:
    """How an artifact is loaded and fed; `shapes` says those of inputs by name, where a file leaves them free."""

    runtime: str
    path: str
    threads: int | None = None
    batch: int = 1
    seed: int = 0
    shapes: feeds.Shapes = field(default_factory=dict)


@dataclass(frozen=True)
class Opened:
    """What loading took: milliseconds, and megabytes before it and at most. `batch`: images an inference, really."""

    batch: int
    load_ms: float
    first_ms: float
    """The first inference; an engine that compiles for the shape of its input does it there."""
    idle_mb: float | None
    peak_mb: float | None


class Serving:
    """An artifact on its engine. What is taken and given travels as JSON."""

    def __init__(self, load: Mapping[str, Any]) -> None:
        self._load = Load(**load)
        self._call: Callable[[], object] = self.open
        self._interruptions: Callable[[], int] = _counter(self._load.threads)

    def open(self) -> dict[str, Any]:
        """Load it, and run it a few times; an `Opened`."""
        asked, runtime = self._load, RUNTIMES[self._load.runtime]
        if runtime.library:
            runtime.library()
        since, idle = memory.reset(), memory.now_mb()
        start = time.perf_counter()
        session = runtime.open(Path(asked.path), asked.threads).__enter__()  # until the process ends
        loaded = time.perf_counter()
        fed = feeds.fed(session, asked.batch, asked.seed, asked.shapes)
        fed_at = time.perf_counter()
        fed.call()
        first = time.perf_counter()
        for _ in range(RUNS - 1):
            fed.call()
        self._call = fed.call
        opened = Opened(fed.batch, 1e3 * (loaded - start), 1e3 * (first - fed_at), idle, memory.own_peak_mb(since))
        return asdict(opened)

    def warm_up(self, seconds: float) -> int:
        """Run until the median is steady, or the time is up; the nanoseconds that a run takes then."""
        latest, deadline = 0, time.perf_counter() + seconds
        while True:
            before, latest = latest, _undisturbed([self._timed() for _ in range(WINDOW)])
            if abs(latest - before) <= STEADY * latest or time.perf_counter() >= deadline:
                return latest

    def turn(self, runs: int) -> list[tuple[int, int]]:
        """Of so many runs in a row the nanoseconds, and how often other processes interrupted each.

        The first one is not timed: whoever had the turn before left its data in the caches. The turn is over when the
        engine's threads are at rest: onnxruntime's wait for more work for 40 ms without giving their cores away.
        """
        self._call()
        times = [self._timed() for _ in range(runs)]
        if self._load.threads != 1:
            _rest()
        return times

    def stream(self, seconds: float) -> tuple[int, int]:
        """Run for so long without a pause: the runs that were finished, and the nanoseconds they took."""
        self._call()
        start = now = time.perf_counter_ns()
        runs = 0
        while now - start < seconds * 1e9:
            self._call()
            runs += 1
            now = time.perf_counter_ns()
        return runs, now - start

    def repeat(self, count: int) -> float:
        """Run so often without a pause; the seconds that it took."""
        start = time.perf_counter()
        for _ in range(count):
            self._call()
        return time.perf_counter() - start

    def describe(self) -> dict[str, Any]:
        """What the file says of itself, the shape of what it is fed, and what its engine runs of it."""
        asked, runtime = self._load, RUNTIMES[self._load.runtime]
        with runtime.open(Path(asked.path), 1) as session:
            fed = feeds.fed(session, asked.batch, asked.seed, asked.shapes)
            told = {"notes": dict(session.metadata), "free_batch": session.input_shape[:1] == (None,)}
        found = None
        if runtime.executed is not None:
            kernels = runtime.executed(Path(asked.path), fed.arrays)
            found = asdict(audit(kernels, runtime.promised(Path(asked.path))))
        return {**told, "inputs": fed.inputs, "shape": fed.shape, "audit": found}

    def _timed(self) -> tuple[int, int]:
        before, start = self._interruptions(), time.perf_counter_ns()
        self._call()
        return time.perf_counter_ns() - start, self._interruptions() - before


def _undisturbed(runs: Sequence[tuple[int, int]]) -> int:
    """The median of those that were interrupted least."""
    least = min(interruptions for _, interruptions in runs)
    return round(median(took for took, interruptions in runs if interruptions == least))


def _rest() -> None:
    """Wait until this process hardly takes any time; not for ever, as an engine may never rest."""
    deadline = time.perf_counter() + REST_SECONDS
    while time.perf_counter() < deadline:
        before = time.process_time()
        time.sleep(GLANCE_SECONDS)
        if time.process_time() - before < GLANCE_SECONDS / 10:
            return


def _counter(threads: int | None) -> Callable[[], int]:
    """How often this process was taken off a core that it still wanted.

    Nothing is counted where it has more threads than cores, as then it interrupts itself, or where a system does not
    tell.
    """
    if sys.platform == "win32" or (threads or 1) > machine.cores():
        return lambda: 0
    import resource  # not on Windows

    return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
