"""The interval is checked against brute force, and its level by simulation."""

import numpy as np
import pytest
from scipy.stats import binomtest

from vitc.reports.paired import REACH, Flips


def test_flips_are_counted() -> None:
    before, after = np.array([1, 1, 1, 0, 0], bool), np.array([1, 0, 0, 1, 0], bool)
    assert Flips.of(before, after) == Flips(5, 2, 1)
    assert Flips(5, 2, 1).drop == pytest.approx(20)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (5, 5), (9, 1), (0, 12)])
def test_the_chance_is_that_of_a_fair_coin(lost: int, won: int) -> None:
    wanted = binomtest(lost, lost + won).pvalue if lost + won else 1
    assert Flips(100, lost, won).chance == pytest.approx(wanted)


@pytest.mark.parametrize(("lost", "won"), [(12, 4), (4, 12), (0, 7), (7, 0), (30, 30), (0, 0)])
def test_bounds_lie_where_the_constrained_score_is_extreme(lost: int, won: int) -> None:
    """Against a search for the likeliest rate of wins under each drop, on a grid."""
    n = 200

    def score(drop: float) -> float:
        rates = np.linspace(max(0, -drop), min(1, 1 - drop) / 2, 200_001)[1:-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            likelihood = (
                np.where(lost, lost * np.log(rates + drop), 0)
                + np.where(won, won * np.log(rates), 0)
                + (n - lost - won) * np.log(1 - 2 * rates - drop)
            )
        rate = rates[np.nanargmax(np.where(np.isfinite(likelihood), likelihood, -np.inf))]
        return float((lost - won - n * drop) / np.sqrt(n * (2 * rate + drop - drop**2)))

    low, high = (bound / 100 for bound in Flips(n, lost, won).interval)
    assert low <= (lost - won) / n <= high
    assert score(low) == pytest.approx(REACH, abs=0.02)
    assert score(high) == pytest.approx(-REACH, abs=0.02)


def test_without_flips_the_bound_is_the_rule_of_the_normal() -> None:
    assert Flips(300, 0, 0).interval[1] == pytest.approx(100 * REACH**2 / (300 + REACH**2), rel=1e-3)


def test_all_lost_or_won_is_no_special_case() -> None:
    assert Flips(20, 20, 0).interval[1] == pytest.approx(100)
    assert Flips(20, 0, 20).interval[0] == pytest.approx(-100)


def test_more_images_of_the_same_kind_would_decide() -> None:
    flips = Flips(200, 6, 2)
    assert flips.interval[0] < 0.5 < flips.interval[1]
    more = flips.more_images(0.5)
    assert more is not None
    times = (200 + more) / 200
    grown = Flips(200 + more, round(6 * times), round(2 * times))
    assert not grown.interval[0] < 0.4 < grown.interval[1]
    assert Flips(1000, 10, 5).more_images(0.5) is None  # it is right at the limit
