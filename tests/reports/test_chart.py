"""What is shown where: scales that hold everything, a front that nothing beats, intervals from end to end."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from vitc.reports.chart import AXES, KINDS, MARKS, bars, lost, meaning, nearest, nothing, place, plan
from vitc.reports.points import Point, points
from vitc.reports.record import Energy, Record


@pytest.fixture
def found(record: Record) -> list[Point]:
    return points("mine", record)


def test_scales_hold_all_points_and_their_intervals(found: list[Point]) -> None:
    for axis in ("latency", "size"):
        made = plan(found, axis)
        assert made
        for x, y in (end for point in found for bar in bars(point, axis) for end in bar):
            assert 0 < made.across(x) < 1
            assert 0 < made.up(y) < 1


def test_scales_hold_a_point_that_lies_outside_its_own_intervals(found: list[Point]) -> None:
    apart = replace(found[1], latency=1.4, latency_ci=(1.56, 1.85), top1=92.0, top1_ci=(94.0, 94.2))
    made = plan([apart], "latency")
    assert made
    assert 0 < made.across(1.4) < 1
    assert 0 < made.up(92.0) < 1


@pytest.mark.parametrize(("low", "high"), [(0.001, 0.0011), (3.0, 3.0), (12.7, 25.74), (1.0, 9_999.0)])
def test_scales_are_marked_at_round_numbers_within(found: list[Point], low: float, high: float) -> None:
    made = plan([replace(found[0], size=low), replace(found[1], size=high)], "size")
    assert made
    ticks = made.across.ticks
    assert 3 <= len(ticks) <= 9
    assert made.across.low <= ticks[0] < ticks[-1] <= made.across.high
    steps = np.diff(ticks)
    assert np.allclose(steps, steps[0])
    assert f"{steps[0]:e}"[0] in "125"


def test_the_front_is_what_nothing_else_beats(found: list[Point]) -> None:
    generator = np.random.default_rng(0)
    many = [replace(found[0], size=float(x), top1=float(y)) for x, y in generator.integers(0, 30, (60, 2))]
    made = plan(many, "size")
    assert made
    front = [many[at] for at in made.front]
    for one, other in product(many, front):
        assert not (one.size <= other.size and (one.top1 or 0) > (other.top1 or 0))
        assert not (one.size < other.size and one.top1 == other.top1)
    assert [point.size for point in front] == sorted(point.size for point in front)


def test_what_was_not_measured_is_not_shown(found: list[Point]) -> None:
    assert plan(found, "energy") is None
    assert plan([], "size") is None
    made = plan([replace(found[0], top1=None), found[1]], "size")
    assert made
    assert made.shown == made.front == (1,)
    assert place(found[0], "memory") is None
    assert bars(found[0], "memory") == []
    assert "peak memory" in nothing("memory")


def test_what_lost_too_much_is_named_and_left_out_where_the_rest_could_not_be_told_apart(found: list[Point]) -> None:
    many = [*found, replace(found[1], run="one bit", artifact="binary/onnx", top1=0.6, top1_ci=None)]
    assert nearest(many)
    assert not nearest(found)
    near, whole = plan(many, "size", near=True), plan(many, "size")
    assert near
    assert whole
    assert (near.shown, near.below) == ((0, 1), (2,))
    assert (whole.shown, whole.below) == ((0, 1, 2), ())
    assert lost(many, near).endswith("below the best: 1 of one bit (at best 0.60 %).")
    assert lost(many, whole) == ""
    crowd = [*found, *(replace(many[2], run=f"run {number}") for number in range(20))]
    of_all = plan(crowd, "size", near=True)
    assert of_all
    assert lost(crowd, of_all).endswith("run 7 (at best 0.60 %), and those of 12 more runs.")


def test_latency_and_energy_have_intervals_across(found: list[Point], record: Record) -> None:
    counted = replace(record.measurements[1], energy_mj=Energy(3.0, "rapl", uncertainty=0.5))
    (_, point) = points("mine", replace(record, measurements=(record.measurements[0], counted)))
    assert bars(point, "energy")[0] == ((2.5, 81.2), (3.5, 81.2))
    (across, up) = bars(found[1], "latency")
    assert across == ((found[1].latency_ci[0], 81.2), (found[1].latency_ci[1], 81.2))  # type: ignore[index]
    assert up[0][0] == up[1][0] == found[1].latency
    assert len(bars(found[1], "size")) == 1


def test_colours_tell_runs_apart_or_engines_of_one(found: list[Point]) -> None:
    assert meaning(found) == ("runtime", ["onnxruntime"])
    assert meaning([*found, replace(found[0], run="other")]) == ("run", ["mine", "other"])


def test_every_kind_has_a_shape_and_every_axis_a_name(found: list[Point]) -> None:
    assert set(KINDS) == set(MARKS) >= {point.kind for point in found}
    assert all(hasattr(found[0], axis) for axis in AXES)
