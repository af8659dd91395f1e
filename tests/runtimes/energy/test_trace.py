import pytest

from vitc.runtimes.energy.meter import NoReading, Reading
from vitc.runtimes.energy.trace import Trace


class Script:
    """Tells what it was given, one after the other."""

    name = "script"

    def __init__(self, *readings: Reading | None, counts: bool) -> None:
        self.readings, self.counts = list(readings), counts

    def start(self) -> None: ...

    def read(self) -> Reading | None:
        if not self.readings:
            raise NoReading("no more")
        return self.readings.pop(0)

    def stop(self) -> None: ...


def traced(*readings: Reading | None, counts: bool) -> Trace:
    """Polled every second, from second 1 on."""
    times = iter(range(1, 100))
    trace = Trace(Script(*readings, counts=counts), lambda: float(next(times)), 0.1)
    for _ in readings:
        trace.poll()
    return trace


def test_a_counter_gives_a_point_when_it_moves() -> None:
    trace = traced(*(Reading(joules) for joules in (5, 5, 7, 7, 7, 13)), counts=True)
    assert trace.gaps() == [2, 3]
    power = trace.power(0, 9)
    assert power is not None
    assert power.watts == (13 - 5) / 5


def test_watts_hold_for_the_time_since_the_meter_spoke_before() -> None:
    told = [Reading(9, 1.0), Reading(9, 1.0), Reading(2, 2.0), None, Reading(4, 5.0)]
    trace = traced(*told, counts=False)
    assert trace.gaps() == [1, 3]
    power = trace.power(0.5, 5)
    assert power is not None
    assert power.watts == (2 * 1 + 4 * 3) / 4


def test_how_often_it_speaks_is_seen_by_what_is_new() -> None:
    held = traced(*(Reading(watts) for watts in (1, 1, 2, 2, 1, 1, 2)), counts=False)
    assert (held.gaps(), held.interval()) == ([2, 2, 2], 2)
    same = traced(*(Reading(1) for _ in range(5)), counts=False)
    assert (same.gaps(), same.interval()) == ([], 0.1)  # as often as it is asked
    assert traced(Reading(1), Reading(1), Reading(2), counts=True).interval() is None
    spoken = traced(*(Reading(1, float(at)) for at in (1, 1, 2, 3)), counts=False)
    assert (spoken.gaps(), spoken.interval()) == ([1, 1], 1)
    assert traced(*(Reading(1, 1.0) for _ in range(5)), counts=False).interval() is None


def test_the_resolution_is_a_step_of_the_meter() -> None:
    counted = traced(*(Reading(joules) for joules in (0, 10, 20)), counts=True).power(0, 3)
    watts = traced(*(Reading(12, float(at), step=1.0) for at in (1, 2, 3)), counts=False).power(0, 3)
    prompt = traced(*(Reading(joules, step=0.001) for joules in (0, 10, 20)), counts=True).power(0, 3)
    assert counted is not None
    assert prompt is not None
    assert watts is not None
    assert prompt.resolution == pytest.approx(counted.resolution / 100)
    assert counted.resolution == pytest.approx(10 * 0.1 / 2)  # seen up to a tenth of a second late, in two seconds
    assert watts.resolution == 0.5


def test_a_stretch_that_the_meter_is_silent_in_has_no_power() -> None:
    trace = traced(*(Reading(joules) for joules in (0, 1, 2)), counts=True)
    assert trace.power(1.5, 9) is None
    assert trace.power(2.5, 4) is None
    assert trace.power(3.5, 4) is None


def test_what_ended_the_reading_is_raised_where_it_is_asked_for() -> None:
    trace = traced(Reading(1), counts=True)
    trace.check()
    trace.poll()
    trace.poll()
    with pytest.raises(NoReading, match="no more"):
        trace.check()
