"""Energy of an inference: power under load and at rest, by what a meter tells, with how far that can be trusted.

1. Listen to the meter at rest, to learn how often it speaks; what follows is long enough for that.
2. Rest, several stretches of inferences, and rest again. The begin of each is left out: the machine settles.
3. Gross is the mean power of a stretch times the seconds of an inference. Net leaves out what the machine takes at
   rest, the mean of before and after: that is what the inference adds, and what is compared.
4. The uncertainty (95 %) joins two: how the stretches differ, those of work and those of rest (Student's t on their
   pooled variance), and the meter's resolution.

What cannot be measured so has no value, and the reason.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from statistics import mean, variance

from scipy.special import stdtrit

from .meter import Meter, NoReading
from .trace import Power, Trace

NOT_MEASURED = "not measured"
SHORTEST = 0.2
"""Seconds of inferences that tell how long one takes."""
ENOUGH = 5
"""Gaps between what a meter tells, to know how often it speaks."""

Run = Callable[[int], float]
"""Does so many inferences; the seconds that they took."""


@dataclass(frozen=True)
class Plan:
    """How to measure."""

    step: float = 0.02
    """Seconds from one look at the meter to the next."""
    settle: float = 1.0
    """Seconds that a machine takes to come to rest, or to get going."""
    repeats: int = 5
    error: float = 0.02
    """The share of a stretch that a step may be."""
    updates: int = 10
    """Times that the meter must speak in a stretch."""
    patience: float = 20.0
    """Seconds in which it must have spoken three times."""

    def skipped(self, interval: float) -> float:
        """Seconds that are left out at the begin of a stretch, for a meter that speaks every `interval` seconds."""
        return max(self.settle, 2 * interval)

    def length(self, interval: float) -> float:
        """Seconds of a whole stretch."""
        return self.skipped(interval) + max(self.step / self.error, self.updates * interval) + 2 * interval


@dataclass(frozen=True)
class EnergyReading:
    """Millijoules a call, net and gross, watts at rest, and the 95 % uncertainty of net."""

    value: float | None
    source: str = NOT_MEASURED
    gross: float | None = None
    idle_w: float | None = None
    uncertainty: float | None = None
    inferences: int | None = None
    reason: str = ""


@contextmanager
def _threaded(seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """A block beside which `call` is called every so many seconds."""
    done = threading.Event()

    def loop() -> None:
        while not done.wait(seconds):
            call()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@dataclass(frozen=True)
class Timing:
    """Where time comes from: a clock, a pause, and what is done beside the work every so often."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    every: Callable[[float, Callable[[], None]], AbstractContextManager[None]] = _threaded


PLAN = Plan()
TIMING = Timing()


def measure(run: Run, meter: Meter, plan: Plan = PLAN, timing: Timing = TIMING) -> EnergyReading:
    """The energy of one of `run`'s inferences; whatever is in the way becomes the reason why there is none."""
    trace = Trace(meter, timing.clock, plan.step)
    try:
        meter.start()
        with timing.every(plan.step, trace.poll):
            return _Measurement(run, meter, trace, plan, timing).reading()
    except NoReading as why:
        return unmeasured(str(why))
    finally:
        meter.stop()


def unmeasured(reason: str) -> EnergyReading:
    """No value, and why."""
    return EnergyReading(None, reason=reason)


@dataclass(frozen=True)
class _Stretch:
    """Inferences under load, and the power that they took."""

    power: Power
    seconds: float
    """Of one of them."""
    count: int


@dataclass(frozen=True)
class _Measurement:
    run: Run
    meter: Meter
    trace: Trace
    plan: Plan
    timing: Timing

    def reading(self) -> EnergyReading:
        """All of it."""
        interval = self._listen()
        length, skipped = self.plan.length(interval), self.plan.skipped(interval)
        count = math.ceil(length / self._seconds_each())
        before = self._at_rest(length, skipped)
        loads = [self._under_load(count, skipped) for _ in range(self.plan.repeats)]
        after = self._at_rest(length, skipped)
        return _joined(loads, before, after, self.meter.name)

    def _listen(self) -> float:
        """How often the meter speaks."""
        end = self.timing.clock() + self.plan.patience
        while self.timing.clock() < end and len(self.trace.gaps()) < ENOUGH:
            self.timing.sleep(self.plan.step)
            self.trace.check()
        interval = self.trace.interval()
        if interval is None:
            raise NoReading(f"{self.meter.name} told nothing new in {self.plan.patience:g} s: it is stuck, or too slow")
        return interval

    def _seconds_each(self) -> float:
        """Of an inference, from more and more of them, which also warms them up."""
        count = 1
        while (seconds := self.run(count)) < SHORTEST:
            count *= 2
        return seconds / count

    def _at_rest(self, length: float, skipped: float) -> Power:
        start = self.timing.clock() + skipped
        self.timing.sleep(length)
        return self._power(start)

    def _under_load(self, count: int, skipped: float) -> _Stretch:
        start = self.timing.clock() + skipped
        seconds = self.run(count)
        return _Stretch(self._power(start), seconds / count, count)

    def _power(self, start: float) -> Power:
        self.trace.check()
        power = self.trace.power(start, self.timing.clock())
        if power is None:
            raise NoReading(f"{self.meter.name} fell silent on the way", there=True)
        return power


def _joined(loads: list[_Stretch], before: Power, after: Power, source: str) -> EnergyReading:
    """Net, gross and uncertainty, in millijoules."""
    idle = (before.watts + after.watts) / 2
    each = mean(load.seconds for load in loads)
    every = [1e3 * load.power.watts * load.seconds for load in loads]
    gross = mean(every)
    net = gross - 1e3 * idle * each
    load = mean(one.power.watts for one in loads)
    if net <= 0:
        raise NoReading(f"{source} tells {idle:.3g} W at rest and {load:.3g} W under load: other work was in the way")
    rests = [1e3 * rest.watts * each for rest in (before, after)]
    freedom = len(every) - 1 + len(rests) - 1
    pooled = ((len(every) - 1) * variance(every) + variance(rests)) / freedom
    spread = float(stdtrit(freedom, 0.975)) * math.sqrt(pooled * (1 / len(every) + 1 / len(rests)))
    resolution = max(one.power.resolution for one in loads) + max(before.resolution, after.resolution)
    uncertainty = math.hypot(spread, 1e3 * each * resolution)
    if uncertainty >= net:
        raise NoReading(
            f"{source} tells {load:.3g} W under load, {idle:.3g} W at rest: not more than its uncertainty apart"
        )
    return EnergyReading(net, source, gross, idle, uncertainty, sum(one.count for one in loads))
