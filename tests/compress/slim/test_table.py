"""The table tells times that were measured, and between them nearly so."""

import pytest
import torch

from vitc.compress.slim.cuts import Group, Kept
from vitc.compress.slim.plan import Terms
from vitc.compress.slim.table import look_up, measure

GROUPS = (Group("a", "neurons", 32, ()), Group("h", "heads", 4, ()))
POINTS = [(1.0, 1.0), (0.8, 0.9), (0.6, 0.7)]


def macs(kept: Kept) -> float:
    return 0.8 * float(kept["a"].float().mean()) + 0.2 * float(kept["h"].float().mean())


@pytest.mark.parametrize(("share", "time"), [(1.0, 1.0), (0.9, 0.95), (0.8, 0.9), (0.6, 0.7), (0.5, 0.6), (-1.0, 0.01)])
def test_times_lie_on_the_lines_between_the_points(share: float, time: float) -> None:
    assert look_up(POINTS, share) == pytest.approx(time)


def test_a_kind_is_measured_alone_and_kinds_multiply() -> None:
    asked: list[Kept] = []

    def clock(kept: Kept) -> float:
        asked.append(kept)
        return 0.5 + 0.5 * macs(kept)

    table = measure(Terms(GROUPS, 8, macs), clock)
    assert len(asked) == 4
    assert all(sum(not bool(mask.all()) for mask in kept.values()) == 1 for kept in asked)
    half = {"a": torch.arange(32) < 16, "h": torch.arange(4) < 2}
    assert table({"a": half["a"], "h": GROUPS[1].whole}) == pytest.approx(0.8)
    assert table(half) == pytest.approx(0.8 * 0.95)


def test_noise_never_makes_less_work_longer() -> None:
    table = measure(Terms(GROUPS, 8, macs), lambda _: 1.2)
    times = [time for points in table.points.values() for _, time in points]
    assert max(times) == 1
    assert len(set(times)) == 3
