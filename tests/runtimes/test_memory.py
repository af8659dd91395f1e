"""Peaks belong to those who made them. The targets are the standard library's: a child must find them by name."""

import json
import os
import signal
import sys
import time

import pytest

from vitc.runtimes import memory

MB = 10**6
linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems keep no mark that can be lowered")


@linux
def test_a_child_is_not_charged_for_a_big_parent() -> None:
    ballast = bytearray(200 * MB)
    peak = memory.measure(bytearray, [50 * MB])
    assert len(ballast) == 200 * MB
    assert peak.why == ""
    assert peak.mb is not None
    assert 50 < peak.mb < 150


@linux
def test_a_child_that_takes_more_shows_more() -> None:
    small, big = (memory.measure(bytearray, [size * MB]).mb for size in (10, 90))
    assert small is not None
    assert big is not None
    assert 70 < big - small < 90


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_child_that_is_killed_says_by_what() -> None:
    assert memory.measure(signal.raise_signal, [9]) == memory.Peak(None, "ended by SIGKILL (out of memory?)")
    assert memory.measure(os.abort, []) == memory.Peak(None, "ended by SIGABRT")


def test_a_child_that_raises_says_what() -> None:
    peak = memory.measure(json.loads, ["{"])
    assert peak.mb is None
    assert peak.why.startswith("json.decoder.JSONDecodeError: ")


def test_a_child_that_leaves_early_or_silently_says_so() -> None:
    assert memory.measure(os._exit, [3]) == memory.Peak(None, "ended with exit code 3")
    assert memory.measure(os._exit, [0]) == memory.Peak(None, "ended before its peak was read")


def test_a_child_that_hangs_is_ended() -> None:
    assert memory.measure(time.sleep, [60], timeout=0.5) == memory.Peak(None, "not done after 0.5 seconds")


def test_what_the_target_prints_is_not_taken_for_the_answer() -> None:
    peak = memory.measure(os.system, ["echo 123456789"])
    assert peak.mb is None or peak.mb < 1000


def test_only_what_has_a_name_can_be_called_elsewhere() -> None:
    with pytest.raises(ValueError, match="cannot be imported by name"):
        memory.measure(lambda: None, [])


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
