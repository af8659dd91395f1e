"""Intervals cover the truth as often as they say, whatever a busy machine does; and tell what they are of."""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from vitc.runtimes import intervals
from vitc.runtimes.intervals import LEAST, SURE, Interval, medians, middle, ratio, signed_rank, summary

MS = 1_000_000
Random = np.random.Generator
Noise = Callable[[Random, int], NDArray[np.float64]]

NOISES: dict[str, Noise] = {
    "calm": lambda random, lives: random.normal(0, 0.01, lives),
    "rough": lambda random, lives: random.normal(0, 0.04, lives),
    "heavy tails": lambda random, lives: 0.017 * random.standard_t(3, lives),
    "bursts": lambda random, lives: (
        random.normal(0, 0.015, lives) + (random.random(lives) < 0.12) * random.normal(0, 0.15, lives)
    ),
}


def life(turns: list[list[float]], interruptions: list[list[int]] | None = None) -> NDArray[np.int64]:
    """Milliseconds of runs as a life has them."""
    times = (np.array(turns) * MS).astype(np.int64)
    counts = np.array(interruptions) if interruptions else np.zeros_like(times)
    return np.stack([times, counts], axis=-1)


def test_known_times_give_the_known_figures() -> None:
    slow, fast = [life([[14.0] * 10] * 4)] * LEAST, [life([[7.0] * 10] * 4)] * LEAST
    assert ratio(slow, fast).value == pytest.approx(2.0)
    assert (ratio(slow, fast).low, ratio(slow, fast).high) == pytest.approx((2.0, 2.0))
    found = summary(fast)
    assert (found.p50, found.p90, found.p99, found.mean) == pytest.approx((7.0, 7.0, 7.0, 7.0))
    assert found.p50_ci95 == pytest.approx((7.0, 7.0))
    assert (found.samples, found.lives, found.stability_pct, found.interrupted_pct) == (240, LEAST, 100.0, 0.0)


def test_interrupted_runs_are_left_out_and_counted() -> None:
    one = life([[5.0, 5.2, 50.0, 5.1], [90.0, 5.0, 5.1, 5.2]], [[0, 0, 2, 0], [1, 0, 0, 0]])
    assert medians(one).tolist() == [5.1 * MS, 5.1 * MS]
    found = summary([one] * LEAST)
    assert found.p99 < 6
    assert found.interrupted_pct == 25.0


def test_where_all_runs_were_interrupted_those_count_that_were_least() -> None:
    assert medians(life([[50.0, 30.0, 10.0]], [[3, 2, 2]])).tolist() == [20.0 * MS]


def test_rounds_away_from_the_median_are_not_steady() -> None:
    turns = [[10.0] * 3, [10.4] * 3, [10.2] * 3, [14.0] * 3]
    assert summary([life(turns)] * LEAST).stability_pct == 75.0


def test_rounds_are_paired() -> None:
    one = life([[5.0]] * 3)
    with pytest.raises(ValueError, match="paired"):
        ratio([one], [one[:2]])


def test_a_drift_that_both_share_is_not_in_the_ratio() -> None:
    pace = np.linspace(1, 3, 8)[:, None] * np.ones((8, 5))
    slow, fast = ([life((base * pace).tolist())] * LEAST for base in (10.0, 8.0))
    found = ratio(slow, fast)
    assert found.value == pytest.approx(1.25)
    assert found.half_width < 1e-6


@pytest.mark.parametrize("lives", [6, 8, 10])
def test_the_interval_is_that_of_the_signed_rank_test(lives: int) -> None:
    values = np.random.default_rng(lives).normal(0, 1, lives)
    estimate, low, high = signed_rank(list(values))
    assert low < estimate < high
    if lives >= SURE:  # fewer cannot be rejected at this level: there the interval is all that was seen
        for end, inwards in ((low, 1e-9), (high, -1e-9)):
            assert stats.wilcoxon(values - (end - inwards)).pvalue <= intervals.LOOK
            assert stats.wilcoxon(values - (end + inwards)).pvalue > intervals.LOOK
    else:
        assert (low, high) == (values.min(), values.max())


def test_the_distribution_of_rank_sums_is_the_one_counted_by_hand() -> None:
    sums = [sum(rank * sign for rank, sign in enumerate(signs, start=1)) for signs in product((0, 1), repeat=5)]
    assert intervals._rank_sums(5) == pytest.approx(np.bincount(sums) / len(sums))


@pytest.mark.parametrize("noise", NOISES)
def test_the_interval_covers_the_truth_although_sampling_ends_when_it_is_narrow(noise: str) -> None:
    random, covered, told = np.random.default_rng(0), 0, 0
    for _ in range(300):
        values = NOISES[noise](random, 40)
        for lives in range(SURE, 41):
            _, low, high = signed_rank(list(values[:lives]))
            found = Interval(1.0, math.exp(low), math.exp(high))
            if found.narrow(0.05):
                break
        covered += low <= 0 <= high
        told += low + math.log(1.05) > 0
    assert covered >= 0.95 * 300
    assert told >= 0.95 * 300


def test_what_an_interval_tells() -> None:
    told = {
        (1.2, 3.0): True,  # wide, but not 1
        (0.99, 1.01): True,  # 1, or as good as
        (0.97, 1.04): True,
        (0.97, 1.06): False,
        (0.5, 2.0): False,
        (0.8, 0.99): True,
    }
    assert {ends: Interval(math.sqrt(math.prod(ends)), *ends).tells(0.05) for ends in told} == told


def test_the_middle_lies_in_its_interval() -> None:
    random = np.random.default_rng(3)
    lives = [life((10 * np.exp(random.normal(0, 0.02, (4, 5)) + random.normal(0, 0.02))).tolist()) for _ in range(9)]
    found = middle(lives)
    assert 9.5 * MS < found.low < found.value < found.high < 10.5 * MS
    low, high = summary(lives).p50_ci95
    assert low <= summary(lives).p50 <= high


def test_on_a_machine_of_two_speeds_the_medians_stay_near_their_ratio() -> None:
    """Cores that other guests share take twice as long for a while: half of the rounds, of one artifact a few more."""
    random = np.random.default_rng(0)
    slow = random.random((24, 8)) < 0.5
    more, fewer = slow | (random.random((24, 8)) < 0.1), slow & (random.random((24, 8)) < 0.9)
    baseline, candidate = (
        [life([[base * (2 if round_ else 1)] * 5 for round_ in one]) for one in met]
        for base, met in ((1.7, more), (1.3, fewer))
    )
    of_all = [np.median([one[..., 0] for one in lives]) for lives in (baseline, candidate)]
    assert of_all[0] / of_all[1] == pytest.approx(2 * 1.7 / 1.3)
    found = ratio(baseline, candidate)
    assert found.value == pytest.approx(1.7 / 1.3)
    assert summary(baseline).p50 / summary(candidate).p50 == pytest.approx(found.value, rel=0.2)
