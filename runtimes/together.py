"""Whether cores work side by side: what they get done together, against what each of them does alone.

A virtual machine's cores may share a real one, for minutes at a time and without a word: no time is stolen and nobody
waits, only whatever has two threads takes twice as long. So it is asked by working: matrix products, which keep busy
what cores share.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Self

import numpy as np

from . import affinity
from .worker import Worker

ENOUGH = 0.75
"""Cores that get done this share of what they do alone work side by side. When all are busy, clocks may be lower."""
SECONDS = 0.02
"""How long a core is kept busy, first alone and then with the others."""
SIDE = 128
"""Of the matrices: they fit into the nearest caches."""


class Busy:
    """What a worker does that keeps its core busy."""

    def __init__(self) -> None:
        self._matrix = np.full((SIDE, SIDE), 1 / SIDE, dtype=np.float32)
        self._product = np.empty_like(self._matrix)
        self.pace(SECONDS)  # the first products load what computes them

    def pace(self, seconds: float) -> float:
        """Work for so long; the products a second."""
        done, start = 0, time.perf_counter()
        while (now := time.perf_counter()) - start < seconds:
            np.matmul(self._matrix, self._matrix, out=self._product)
            done += 1
        return done / (now - start)


class Probe:
    """A context manager; called, it says which share of what they do alone the cores get done together.

    Of cores that share their units as far as the system says, as many whole ones are expected as they are. Where that
    is one, or processes are not bound to cores, nothing can be shared unsaid: the share is 1.
    """

    def __init__(self, cores: Sequence[int]) -> None:
        self._whole = affinity.whole(cores)
        self._cores = cores if self._whole > 1 else ()
        self._workers: list[Worker] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._workers = [stack.enter_context(Worker(Busy, cores=[core])) for core in self._cores]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.__exit__(*exception)

    def __call__(self) -> float:
        """Work, for so many times SECONDS as there are cores and once more."""
        if not self._workers:
            return 1.0
        alone = [worker.ask("pace", SECONDS) for worker in self._workers]
        for worker in self._workers:
            worker.begin("pace", SECONDS)
        together = [worker.answer() for worker in self._workers]
        return float(sum(together) / sum(alone)) * len(self._workers) / self._whole
