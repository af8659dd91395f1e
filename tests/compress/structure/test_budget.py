"""Neurons go where they are cheapest, in steps that leave multiples, and no more than asked for."""

import itertools

import numpy as np
import pytest

from vitc.compress.structure.budget import measured_curve, share_out, stops_of


def test_a_curve_passes_through_what_was_measured() -> None:
    curve = measured_curve([1.0, 1.0, 2.0, 4.0], {2: 0.5, 4: 4.0})
    assert curve.tolist()[0] == 0
    assert curve[2] == pytest.approx(0.5)
    assert curve[4] == pytest.approx(4.0)
    assert curve[1] == pytest.approx(0.25), "before the first point in its proportion"
    assert (np.diff(curve) >= 0).all()


def test_a_curve_of_free_removals_is_flat() -> None:
    assert measured_curve([0.0, 0.0], {1: 1e-9, 2: 1e-9}).tolist() == [0, 0, 0]


def test_one_point_scales_the_prediction() -> None:
    assert measured_curve([1.0, 3.0], {2: 2.0}).tolist() == [0, 0.5, 2]


@pytest.mark.parametrize(
    ("width", "multiple", "most", "stops"),
    [
        (24, 8, 24, [0, 8, 16]),
        (24, 8, 15, [0, 8]),
        (27, 8, 27, [0, 3, 11, 19]),
        (6, 8, 6, [0]),
        (4, 1, 2, [0, 1, 2]),
        (8, 8, 8, [0]),
    ],
)
def test_stops_leave_a_multiple(width: int, multiple: int, most: int, stops: list[int]) -> None:
    assert stops_of(width, multiple, most) == stops


@pytest.mark.parametrize("budget", range(13))
def test_convex_curves_are_shared_out_as_by_trying_everything(budget: int) -> None:
    generator = np.random.default_rng(0)
    curves = [np.concatenate([[0], np.sort(generator.random(4)).cumsum()]) for _ in range(3)]
    stops = [list(range(5))] * 3
    gone = share_out(curves, stops, budget)
    assert sum(gone) == budget

    def cost(counts: tuple[int, ...]) -> float:
        return float(sum(curve[count] for curve, count in zip(curves, counts, strict=True)))

    best = min(cost(counts) for counts in itertools.product(range(5), repeat=3) if sum(counts) == budget)
    assert cost(tuple(gone)) == pytest.approx(best)


def test_a_cheap_step_behind_a_dear_one_is_seen() -> None:
    hidden, plain = np.array([0, 3.0, 3.0, 3.0]), np.array([0, 2.0, 4.0, 6.0])
    assert share_out([hidden, plain], [[0, 1, 2, 3]] * 2, 3) == [3, 0]


def test_the_budget_is_never_exceeded_and_met_within_a_step() -> None:
    curves = [np.arange(33.0) ** 2, np.arange(33.0) ** 2 * 1.5]
    for budget in range(49):
        gone = share_out(curves, [stops_of(32, 8, 32)] * 2, budget)
        assert budget - 8 < sum(gone) <= budget
        assert all(count % 8 == 0 for count in gone)
