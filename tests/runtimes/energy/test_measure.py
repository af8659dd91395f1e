"""Energy on sensors of known rate, in a world whose clock only its work moves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vitc.runtimes.energy.measure import EnergyReading, Plan, Timing, measure
from vitc.runtimes.energy.meter import Meter, NoReading, Reading
from vitc.runtimes.energy.rapl import Rapl

TICK = 0.005
EACH = 0.013
"""Seconds of an inference."""
REST, LOAD = 11.0, 37.0
NET, GROSS = 1e3 * (LOAD - REST) * EACH, 1e3 * LOAD * EACH


class World:
    """Takes `rest` watts, and `load` while it runs; what polls is called as time goes on."""

    def __init__(self, rest: float = REST, load: float = LOAD) -> None:
        self.now, self.joules, self.watts, self.rest, self.load = 100.0, 0.0, rest, rest, load
        self._calls: list[tuple[float, Callable[[], None]]] = []
        self._due: list[float] = []

    def sleep(self, seconds: float) -> None:
        self._pass(seconds, self.rest)

    def run(self, count: int) -> float:
        self._pass(count * EACH, self.load)
        return count * EACH

    @contextmanager
    def every(self, seconds: float, call: Callable[[], None]) -> Iterator[None]:
        self._calls.append((seconds, call))
        self._due.append(self.now + seconds)
        yield
        self._calls.pop()
        self._due.pop()

    def _pass(self, seconds: float, watts: float) -> None:
        self.watts, end = watts, self.now + seconds
        while self.now < end:
            tick = min(TICK, end - self.now)
            self.now += tick
            self.joules += watts * tick
            for index, (gap, call) in enumerate(self._calls):
                if self.now >= self._due[index]:
                    self._due[index] += gap
                    call()

    @property
    def timing(self) -> Timing:
        return Timing(lambda: self.now, self.sleep, self.every)

    def measure(self, meter: Meter, plan: Plan | None = None) -> EnergyReading:
        return measure(self.run, meter, plan or Plan(), self.timing)


class Sensor:
    """A meter of a world that speaks every `interval` seconds: joules, or the mean watts since it spoke before."""

    name = "sensor"

    def __init__(self, world: World, interval: float, *, counts: bool, held: bool = False) -> None:
        self.world, self.interval, self.counts, self.held = world, interval, counts, held
        self.ends = self.sticks = float("inf")
        self.stopped = 0
        self._at, self._joules, self._watts = world.now, 0.0, world.rest

    def start(self) -> None:
        self._at, self._joules = self.world.now, self.world.joules

    def read(self) -> Reading | None:
        now = self.world.now
        if now > self.ends:
            raise NoReading("the sensor vanished")
        if now >= self._at + self.interval and now < self.sticks:
            self._watts = (self.world.joules - self._joules) / (now - self._at) + 1e-6 * (now % 0.7)
            self._at, self._joules = now, self.world.joules
        if self.counts:
            return Reading(self._joules)
        return Reading(self._watts, None if self.held else self._at)

    def stop(self) -> None:
        self.stopped += 1


class Tree:
    """A RAPL tree that a world drives: a package, and what must not be added to it."""

    def __init__(self, root: Path, world: World, most: int = 262_143_328_850, begin: int = 0) -> None:
        self.root, self.world, self.most, self.begin = root, world, most, begin
        for zone, name in (("0", "package-0"), ("0:0", "core"), ("1", "psys")):
            folder = root / f"intel-rapl:{zone}"
            folder.mkdir()
            (folder / "name").write_text(name + "\n")
            (folder / "max_energy_range_uj").write_text(f"{most}\n")
        (root / "intel-rapl:0:0" / "energy_uj").write_text("0")
        self.write()

    def write(self) -> None:
        count = (self.begin + round(self.world.joules * 1e6)) % self.most
        for zone in ("0", "1"):
            (self.root / f"intel-rapl:{zone}" / "energy_uj").write_text(f"{count}\n")

    def measure(self) -> EnergyReading:
        """With a meter that finds the tree as it is at the moment, looked at ten times a second."""
        tree = self

        class Driven(Rapl):
            def read(self) -> Reading:
                tree.write()
                return super().read()

        return self.world.measure(Driven(self.root), Plan(step=0.1))


def assert_right(found: EnergyReading) -> None:
    assert found.reason == ""
    assert found.value is not None
    assert found.value == pytest.approx(NET, rel=0.02)
    assert found.gross == pytest.approx(GROSS, rel=0.02)
    assert found.idle_w == pytest.approx(REST, rel=0.02)
    assert found.uncertainty is not None
    assert abs(found.value - NET) <= found.uncertainty + 1e-9
    assert found.uncertainty < 0.05 * NET


def test_a_rapl_tree_of_known_rate_is_right_within_two_percent(tmp_path: Path) -> None:
    found = Tree(tmp_path, World()).measure()
    assert_right(found)
    assert found.source == "RAPL package-0"


def test_a_counter_that_begins_again_on_the_way_changes_nothing(tmp_path: Path) -> None:
    world = World()
    most = 40_000_000  # some joules: it begins again every second or two
    found = Tree(tmp_path, world, most=most, begin=most - 1).measure()
    assert world.joules > 3 * most / 1e6
    assert_right(found)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("interval", [0.02, 0.1, 1.0, 3.0])
def test_a_sensor_is_right_however_seldom_it_speaks(interval: float, counts: bool) -> None:  # noqa: FBT001
    world = World()
    began = world.now
    assert_right(world.measure(Sensor(world, interval, counts=counts)))
    stretches = (world.now - began) / 7
    assert stretches > 10 * interval


@pytest.mark.parametrize("interval", [0.1, 1.0, 2.0])
def test_watts_that_are_held_until_the_sensor_has_new_ones_are_right_too(interval: float) -> None:
    world = World()
    assert_right(world.measure(Sensor(world, interval, counts=False, held=True)))


def test_both_rests_are_left_out_of_net() -> None:
    world = World()

    def warmer(count: int) -> float:
        world.rest += 0.1
        return world.run(count)

    found = measure(warmer, Sensor(world, 0.02, counts=True), Plan(), world.timing)
    assert found.idle_w is not None
    assert REST < found.idle_w < world.rest
    assert found.gross == pytest.approx(GROSS, rel=0.02)
    assert found.uncertainty is not None
    assert found.uncertainty > 1e3 * EACH * 0.2  # half of what rest drifted by, at least


def test_what_differs_from_stretch_to_stretch_is_uncertain() -> None:
    world, quiet = World(), World()

    def uneven(count: int) -> float:
        world.load += 4
        return world.run(count)

    loud = measure(uneven, Sensor(world, 0.02, counts=True), Plan(), world.timing)
    still = quiet.measure(Sensor(quiet, 0.02, counts=True))
    assert loud.uncertainty is not None
    assert still.uncertainty is not None
    assert loud.uncertainty > 3 * still.uncertainty


def test_a_sensor_that_vanishes_half_way_measures_nothing(tmp_path: Path) -> None:
    world = World()
    sensor = Sensor(world, 0.1, counts=True)
    sensor.ends = world.now + 9
    found = world.measure(sensor)
    assert (found.value, found.gross, found.source, found.reason) == (
        None,
        None,
        "not measured",
        "the sensor vanished",
    )
    assert sensor.stopped == 1


def test_a_tree_that_vanishes_half_way_measures_nothing(tmp_path: Path) -> None:
    world = World()
    tree = Tree(tmp_path, world)

    def run(count: int) -> float:
        if world.now > 106:
            (tmp_path / "intel-rapl:0" / "energy_uj").unlink(missing_ok=True)
        return world.run(count)

    found = measure(run, Rapl(tree.root), Plan(), world.timing)
    assert found.value is None
    assert "energy_uj cannot be read" in found.reason or "told nothing new" in found.reason


@pytest.mark.parametrize(("after", "reason"), [(0.0, "told nothing new"), (9.0, "fell silent")])
def test_a_counter_that_sticks_measures_nothing(after: float, reason: str) -> None:
    world = World()
    sensor = Sensor(world, 0.1, counts=True)
    sensor.sticks = world.now + after
    found = world.measure(sensor)
    assert found.value is None
    assert reason in found.reason


@pytest.mark.parametrize("load", [5.0, REST])
def test_more_at_rest_than_under_load_is_no_measurement(load: float) -> None:
    world = World(load=load)
    found = world.measure(Sensor(world, 0.02, counts=True))
    assert found.value is None
    assert "at rest" in found.reason


def test_a_sensor_that_nobody_may_start_is_the_reason() -> None:
    class Locked(Sensor):
        def start(self) -> None:
            raise NoReading("locked: ask for the key", there=True)

    world = World()
    sensor = Locked(world, 0.1, counts=True)
    assert world.measure(sensor).reason == "locked: ask for the key"
    assert sensor.stopped == 1


def test_the_default_timing_asks_beside_the_work() -> None:
    asked = []
    timing = Timing()
    with timing.every(0.001, lambda: asked.append(timing.clock())):
        while len(asked) < 3:
            timing.sleep(0.001)
    count = len(asked)
    timing.sleep(0.01)
    assert len(asked) == count
