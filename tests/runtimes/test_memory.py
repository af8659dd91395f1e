"""Peaks belong to those who made them."""

import sys
from pathlib import Path

import pytest

from vitc.runtimes import memory
from vitc.runtimes.worker import Worker

MB = 10**6
linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems keep no mark that can be lowered")


class Holder:
    """What takes memory in a worker."""

    def peak(self, megabytes: int) -> list[float | None]:
        """What is held, and the peak after so much more was held for a moment."""
        since, before = memory.reset(), memory.now_mb()
        ballast = bytearray(megabytes * MB)
        del ballast
        return [before, memory.own_peak_mb(since)]


def peak(megabytes: int) -> tuple[float, float]:
    with pytest.MonkeyPatch.context() as patch:  # a worker imports by name, and pytest has names of its own
        patch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
        patch.setattr(Holder, "__module__", Path(__file__).stem)
        with Worker(Holder) as worker:
            before, after = worker.ask("peak", megabytes)
    assert before is not None
    assert after is not None
    return before, after


@linux
def test_a_worker_is_not_charged_for_a_big_parent() -> None:
    ballast = bytearray(200 * MB)
    before, after = peak(50)
    assert len(ballast) == 200 * MB
    assert 45 < after - before < 80
    assert after < 150


@linux
def test_one_that_takes_more_shows_more() -> None:
    small, big = (peak(megabytes)[1] for megabytes in (10, 90))
    assert 70 < big - small < 90


@linux
def test_the_own_peak_begins_anew_with_reset() -> None:
    since = memory.reset()
    before = memory.own_peak_mb(since)
    ballast = bytearray(100 * MB)
    del ballast
    after = memory.own_peak_mb(since)
    again = memory.own_peak_mb(memory.reset())
    if before is None or after is None or again is None:
        pytest.skip("this system does not let the mark be lowered")
    assert after - before > 80
    assert after - again > 80


def test_a_mark_that_did_not_rise_says_nothing() -> None:
    assert memory.own_peak_mb(since=1e12) is None
