"""How long artifacts take, measured so that their ratio can be trusted on a machine that is never quite at rest.

1. Every artifact runs in a process of its own, and all of them are started anew several times. Two processes that run
   the same file differ for as long as they live, by two per cent or so: where their memory came to lie is luck.
2. In each of these lives, every process is warmed up until its median is steady (bounded). Then come rounds: in each,
   everybody has a turn of the same number of runs. What slows the machine down for a while slows all of them. The order
   changes with the rounds, so nobody is always first.
3. Lives go on until the intervals (see intervals.py) are narrow enough for the difference that shall be told apart, or
   the time is up.
4. Lives in which the cores did not work side by side (see together.py) do not count, where there are enough others.
"""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import compress
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import VitcError
from . import intervals
from .together import ENOUGH

LEAST_LIVES, MOST_LIVES = intervals.LEAST, 40
"""As many whatever the time: fewer cannot carry an interval of 95 %."""
LEAST_ROUNDS = 3
"""In a life: the median of fewer does not resist one that went wrong."""
TURN_NS = 25_000_000
MOST_RUNS = 1000
"""In a turn."""


class Server(Protocol):
    """An artifact in a process of its own."""

    def warm_up(self, seconds: float) -> float:
        """Run until it is steady, or the time is up; the nanoseconds that a run takes then."""

    def turn(self, runs: int) -> Sequence[Sequence[int]]:
        """Of so many runs the nanoseconds, and how often each was interrupted."""


Opener = Callable[[], AbstractContextManager[Server]]


@dataclass(frozen=True)
class Plan:
    """How much to measure: `seconds` in all, with starting and warming up; `tell` is the share to be told apart."""

    seconds: float = 60.0
    tell: float = 0.05
    warmup_seconds: float = 0.5
    rounds: int = 8
    seed: int = 0


@dataclass(frozen=True)
class Surroundings:
    """Where it is measured."""

    clock: Callable[[], float] = time.monotonic
    probe: Callable[[], float] = lambda: 1.0
    """Which share of what they do alone the cores get done together."""


@dataclass(frozen=True, eq=False)
class Samples:
    """What was timed of one artifact: of every life [rounds, runs, 2], nanoseconds and interruptions."""

    lives: tuple[NDArray[np.int64], ...]


@dataclass
class Outcome:
    """What was timed of those that came through, and the reason for each of the others."""

    samples: dict[str, Samples] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    crowded_lives: int = 0
    """Of those in the samples: the cores did not work side by side in them, and there are too few others."""
    left_out_lives: int = 0
    """That are not in the samples, as the cores did not work side by side in them."""


def measure(
    openers: Mapping[str, Opener],
    pairs: Collection[tuple[str, str]],
    plan: Plan,
    around: Surroundings,
    progress: Callable[[int], object] | None = None,
) -> Outcome:
    """Time the artifacts against each other; `pairs` are those whose ratios count. `progress` is told of every life."""
    run, clock = _Run(openers, plan, around), around.clock
    start = clock()
    while run.alive:
        began = clock()
        run.live(began + plan.seconds / LEAST_LIVES)
        if progress:
            progress(1)
        lives, calm, now = len(run.calm), sum(run.calm), clock()
        late = now + (now - began) > start + plan.seconds
        told = calm >= intervals.SURE and _told(run.samples(), pairs, plan.tell)
        if lives >= LEAST_LIVES and (late or told or lives >= MOST_LIVES):
            break
    crowded = run.calm.count(False)
    counts = (0, crowded) if run.enough_calm else (crowded, 0)
    return Outcome(run.samples(), run.failures, *counts)


def _told(found: Mapping[str, Samples], pairs: Collection[tuple[str, str]], tell: float) -> bool:
    """Whether every ratio is known well enough to tell such a difference from none; without ratios, every median."""
    ratios = [intervals.ratio(found[one].lives, found[two].lives) for one, two in pairs if {one, two} <= found.keys()]
    return all(one.narrow(tell) for one in ratios or [intervals.middle(one.lives) for one in found.values()])


class _Run:
    """One measurement on its way."""

    def __init__(self, openers: Mapping[str, Opener], plan: Plan, around: Surroundings) -> None:
        self.alive = list(openers)
        self.failures: dict[str, str] = {}
        self.calm: list[bool] = []
        """For every life, whether the cores worked side by side in it."""
        self._openers, self._plan, self._around = openers, plan, around
        self._orders = orders(list(openers), plan.seed)
        self._lives: dict[str, list[NDArray[np.int64]]] = {name: [] for name in openers}
        self._runs = 0

    @property
    def enough_calm(self) -> bool:
        """Whether there are so many calm lives that they can do without the others."""
        return sum(self.calm) >= LEAST_LIVES

    def samples(self) -> dict[str, Samples]:
        """Of those that nothing happened to: their calm lives, or all where there are too few calm ones."""
        counting = self.calm if self.enough_calm else [True] * len(self.calm)
        return {name: Samples(tuple(compress(self._lives[name], counting))) for name in self.alive if self._lives[name]}

    def live(self, deadline: float) -> None:
        """Start them all, measure them in rounds until the deadline, and end them."""
        turns: dict[str, list[Sequence[Sequence[int]]]] = {name: [] for name in self.alive}
        before = self._around.probe()
        with ExitStack() as stack:
            servers = self._started(stack)
            for done in range(self._plan.rounds):
                if done >= LEAST_ROUNDS and self._around.clock() > deadline:
                    break
                for name in self._order():
                    with self._by_itself(name):
                        turns[name].append(servers[name].turn(self._runs))
        for name in self.alive:
            self._lives[name].append(np.array(turns[name], dtype=np.int64))
        self.calm.append(min(before, self._around.probe()) >= ENOUGH)

    def _started(self, stack: ExitStack) -> dict[str, Server]:
        """All that can be started, warm."""
        servers, paces = {}, []
        for name in self._order():
            with self._by_itself(name):
                servers[name] = stack.enter_context(self._openers[name]())
        for name in list(self.alive):
            with self._by_itself(name):
                paces.append(servers[name].warm_up(self._plan.warmup_seconds))
        self._runs = self._runs or runs_in_turn(paces)
        return servers

    def _order(self) -> list[str]:
        """Who comes when in the next round, of those that are left."""
        return [name for name in next(self._orders) if name in self.alive]

    @contextmanager
    def _by_itself(self, name: str) -> Iterator[None]:
        """What goes wrong goes wrong for this one alone, and it takes no more turns."""
        try:
            yield
        except VitcError as failure:
            self.failures[name] = str(failure)
            self.alive.remove(name)


def runs_in_turn(paces: Sequence[float]) -> int:
    """The same number for all: a turn of the one that lies midway between fastest and slowest takes TURN_NS."""
    midway = math.sqrt(min(paces, default=1) * max(paces, default=1))
    return min(MOST_RUNS, max(1, round(TURN_NS / max(midway, 1.0))))


def orders(names: Sequence[str], seed: int) -> Iterator[list[str]]:
    """Who comes when, round after round: shuffled, then rotated until each was first once, then shuffled anew."""
    random = np.random.default_rng(seed)
    while True:
        shuffled = [names[index] for index in random.permutation(len(names))]
        for first in range(len(names)):
            yield shuffled[first:] + shuffled[:first]
