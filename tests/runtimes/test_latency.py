"""The protocol, on a clock that only the calls move."""

from collections.abc import Callable, Iterator
from itertools import count, islice, repeat

import numpy as np
import pytest

from vitc.errors import UserError
from vitc.runtimes.latency import MIN_ROUNDS, Plan, Samples, measure, orders, runs_in_turn, speedup, summary

MS = 1_000_000


class Bench:
    """A fake clock, calls that move it by known times, and a note of who ran when."""

    def __init__(self) -> None:
        self.now = 0
        self.ran: list[str] = []

    def clock(self) -> int:
        return self.now

    def call(self, name: str, milliseconds: Iterator[float]) -> Callable[[], None]:
        def run() -> None:
            self.ran.append(name)
            self.now += int(next(milliseconds) * MS)

        return run

    def turns(self) -> list[tuple[str, int]]:
        """Who ran how often in a row."""
        found: list[tuple[str, int]] = []
        for name in self.ran:
            times = found.pop()[1] if found and found[-1][0] == name else 0
            found.append((name, times + 1))
        return found


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_known_rates_give_the_known_ratio(bench: Bench) -> None:
    calls = {"slow": bench.call("slow", repeat(14.0)), "fast": bench.call("fast", repeat(7.0))}
    samples = measure(calls, Plan(), bench.clock)
    assert speedup(samples["slow"], samples["fast"], 0) == (2.0, (2.0, 2.0))
    assert summary(samples["fast"]).p50 == summary(samples["fast"]).p99 == summary(samples["fast"]).mean == 7.0
    assert summary(samples["fast"]).samples == samples["fast"].nanoseconds.size


def test_turns_alternate_have_the_same_runs_and_rotate(bench: Bench) -> None:
    calls = {"a": bench.call("a", repeat(20.0)), "b": bench.call("b", repeat(5.0))}
    samples = measure(calls, Plan(rounds=6, warmup_runs=4), bench.clock)
    assert samples["a"].nanoseconds.shape == samples["b"].nanoseconds.shape == (6, 10)
    after_warm_up = bench.ran[8:]
    rounds = [after_warm_up[start : start + 22] for start in range(0, len(after_warm_up), 22)]
    assert len(rounds) == 6
    assert all(sorted(one) == ["a"] * 11 + ["b"] * 11 for one in rounds)
    assert [one[0] for one in rounds].count("a") == 3
    assert len(bench.turns()) <= 2 + 2 * 6


def test_the_first_run_of_a_turn_is_not_timed(bench: Bench) -> None:
    runs = 10
    cold = [100.0] + [10.0] * runs
    times = iter([10.0] * 4 + cold * 5)
    samples = measure({"a": bench.call("a", times)}, Plan(rounds=5, warmup_runs=4), bench.clock)
    assert samples["a"].nanoseconds.tolist() == [[10 * MS] * runs] * 5


def test_warm_up_goes_on_until_the_median_is_steady(bench: Bench) -> None:
    falling = [100.0 - 4 * step for step in range(20)]
    times = iter(falling + [20.0] * 1000)
    samples = measure({"a": bench.call("a", times)}, Plan(rounds=3, warmup_runs=4, warmup_seconds=60), bench.clock)
    assert (samples["a"].nanoseconds == 20 * MS).all()


def test_warm_up_is_bounded(bench: Bench) -> None:
    never_steady = (1000 * 0.9**step for step in count())
    measure({"a": bench.call("a", never_steady)}, Plan(rounds=3, seconds=0, warmup_seconds=2.5), bench.clock)
    warm_up, turn = 3, 1 + 1  # 1 + 0.9 + 0.81 seconds are over the bound, and such runs fill a turn alone
    assert len(bench.ran) == warm_up + MIN_ROUNDS * turn


def test_the_budget_ends_the_rounds_but_not_the_first_three(bench: Bench) -> None:
    rounds_ended: list[int] = []

    def note(_: int) -> None:
        rounds_ended.append(bench.now)

    calls = {"a": bench.call("a", repeat(10.0)), "b": bench.call("b", repeat(10.0))}
    samples = measure(calls, Plan(rounds=100, seconds=1.0), bench.clock, note)
    start = 2 * rounds_ended[0] - rounds_ended[1]
    assert len(rounds_ended) == len(samples["a"].nanoseconds) == 4
    assert rounds_ended[-1] - start <= 1000 * MS
    assert len(measure(calls, Plan(seconds=0), bench.clock)["a"].nanoseconds) == MIN_ROUNDS


def test_a_turn_takes_about_a_tenth_of_a_second() -> None:
    assert runs_in_turn([10 * MS]) == 10
    assert runs_in_turn([20 * MS, 5 * MS]) == 10
    assert runs_in_turn([900 * MS]) == 1
    assert runs_in_turn([0.0]) >= 1


def test_everybody_is_first_as_often_and_the_seed_decides() -> None:
    names = ["a", "b", "c"]
    some = list(islice(orders(names, 3), 30))
    assert [[order[0] for order in some].count(name) for name in names] == [10, 10, 10]
    assert all(sorted(order) == names for order in some)
    assert some == list(islice(orders(names, 3), 30))
    assert some != list(islice(orders(names, 4), 30))


def test_nothing_to_measure_is_nothing() -> None:
    assert measure({}, Plan()) == {}


def test_too_few_rounds_are_refused() -> None:
    with pytest.raises(UserError, match="rounds = 2"):
        Plan(rounds=2)


def test_rounds_must_be_paired() -> None:
    with pytest.raises(ValueError, match="3 and 4"):
        speedup(Samples(np.ones((3, 2), np.int64)), Samples(np.ones((4, 2), np.int64)), 0)


def test_the_interval_is_the_same_for_the_same_seed() -> None:
    a, b = noisy(np.random.default_rng(1), 1.5)
    assert speedup(a, b, 7) == speedup(a, b, 7)
    assert speedup(a, b, 7) != speedup(a, b, 8)


def test_the_interval_covers_the_truth_under_noise_that_both_share() -> None:
    covered, widths = 0, []
    for seed in range(100):
        _, (low, high) = speedup(*noisy(np.random.default_rng(seed), 1.8), seed)
        covered += low <= 1.8 <= high
        widths.append(high - low)
    assert covered >= 90
    assert np.median(widths) < 0.1


def noisy(random: np.random.Generator, ratio: float) -> tuple[Samples, Samples]:
    """Thirty rounds of five runs: each round has its own pace, each run its own noise, some runs are interrupted."""
    pace = random.uniform(1.0, 1.3, (30, 1))

    def times(milliseconds: float) -> Samples:
        noise = np.exp(random.normal(0, 0.03, (30, 5))) + (random.random((30, 5)) < 0.05) * 0.5
        return Samples((milliseconds * MS * pace * noise).astype(np.int64))

    return times(7.0 * ratio), times(7.0)
