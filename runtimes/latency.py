"""How long calls take, measured so that their ratio can be trusted on a machine that is never quite at rest.

1. Warm every call up until its median is steady (bounded).
2. Measure in rounds: in each, every call has a turn of the same number of runs, about 0.1 s long. Whatever slows the
   machine down for a while slows all of them. The order changes with the rounds, so nobody is always first.
3. The first run of a turn is not timed: the call before left its data in the caches and its threads spinning.
4. The ratio is one of medians; its interval resamples whole rounds, for both calls the same ones.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

Call = Callable[[], object]
Clock = Callable[[], int]

MIN_ROUNDS = 3
"""Measured whatever the budget: fewer say nothing of the spread."""
TURN_NS = 100_000_000
STEADY = 0.02
"""Warm-up ends when two medians in a row differ by less than this share."""
RESAMPLES = 2000
_BLOCK = 4_000_000
"""How many numbers the bootstrap holds at a time."""


@dataclass(frozen=True)
class Plan:
    """How much to measure. `seconds` bounds the rounds of all calls together, `warmup_seconds` the warm-up of each."""

    warmup_seconds: float = 2.0
    warmup_runs: int = 10
    rounds: int = 30
    seconds: float = 30.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds < MIN_ROUNDS:
            raise UserError(f"rounds = {self.rounds}: at least {MIN_ROUNDS} are needed to tell speed from noise")


@dataclass(frozen=True, eq=False)
class Samples:
    """What was timed of one call: nanoseconds, [rounds, runs in a round]."""

    nanoseconds: NDArray[np.int64]


@dataclass(frozen=True)
class Summary:
    """Milliseconds a run, over `samples` runs."""

    p50: float
    p90: float
    p99: float
    mean: float
    samples: int


def measure(
    calls: Mapping[str, Call],
    plan: Plan,
    clock: Clock = time.perf_counter_ns,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Samples]:
    """Time the calls against each other; `progress` is told of every round that is done."""
    if not calls:
        return {}
    runs = runs_in_turn([_warm_up(call, plan, clock) for call in calls.values()])
    times: dict[str, list[list[int]]] = {name: [] for name in calls}
    deadline = clock() + plan.seconds * 1e9
    for done, order in enumerate(islice(orders(list(calls), plan.seed), plan.rounds), start=1):
        start = clock()
        for name in order:
            times[name].append(_turn(calls[name], runs, clock))
        if progress:
            progress(1)
        now = clock()
        if done >= MIN_ROUNDS and now + (now - start) > deadline:
            break
    return {name: Samples(np.array(rounds, dtype=np.int64)) for name, rounds in times.items()}


def summary(samples: Samples) -> Summary:
    """The distribution of all runs together."""
    milliseconds = samples.nanoseconds / 1e6
    p50, p90, p99 = np.percentile(milliseconds, (50, 90, 99))
    return Summary(float(p50), float(p90), float(p99), float(milliseconds.mean()), milliseconds.size)


def speedup(baseline: Samples, candidate: Samples, seed: int) -> tuple[float, tuple[float, float]]:
    """How many times faster the candidate is (ratio of medians), and the 95 % bootstrap interval over paired rounds."""
    a, b = baseline.nanoseconds, candidate.nanoseconds
    if len(a) != len(b):
        raise ValueError(f"rounds are paired, so both need as many: {len(a)} and {len(b)}")
    draws = np.random.default_rng(seed).integers(0, len(a), (RESAMPLES, len(a)))
    low, high = np.percentile(_medians(a, draws) / _medians(b, draws), (2.5, 97.5))
    return float(np.median(a) / np.median(b)), (float(low), float(high))


def runs_in_turn(estimates: Sequence[float]) -> int:
    """The same number for all: a turn of the call that lies midway between fastest and slowest takes TURN_NS."""
    midway = math.sqrt(min(estimates) * max(estimates))
    return max(1, round(TURN_NS / max(midway, 1.0)))


def orders(names: Sequence[str], seed: int) -> Iterator[list[str]]:
    """Who comes when, round after round: shuffled, then rotated until each was first once, then shuffled anew."""
    random = np.random.default_rng(seed)
    while True:
        shuffled = [names[index] for index in random.permutation(len(names))]
        for first in range(len(names)):
            yield shuffled[first:] + shuffled[:first]


def _warm_up(call: Call, plan: Plan, clock: Clock) -> float:
    """Run at least `warmup_runs` times and until steady, unless the time is up; the last runs' median is returned."""
    times: list[int] = []
    window = max(1, plan.warmup_runs // 2)
    deadline = clock() + plan.warmup_seconds * 1e9
    while True:
        times.append(_time(call, clock))
        latest = median(times[-window:])
        if clock() >= deadline:
            return latest
        if len(times) >= 2 * window and abs(latest - median(times[-2 * window : -window])) <= STEADY * latest:
            return latest


def _turn(call: Call, runs: int, clock: Clock) -> list[int]:
    call()
    return [_time(call, clock) for _ in range(runs)]


def _time(call: Call, clock: Clock) -> int:
    start = clock()
    call()
    return clock() - start


def _medians(rounds: NDArray[np.int64], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """The median of all runs in the rounds of every draw; in blocks, so that memory stays small."""
    step = max(1, _BLOCK // rounds.size)
    blocks = (rounds[draws[start : start + step]] for start in range(0, len(draws), step))
    return np.concatenate([np.median(block.reshape(len(block), -1), axis=1) for block in blocks])
