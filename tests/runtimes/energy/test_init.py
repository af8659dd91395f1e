"""Which sensor is taken, and what is said where there is none."""

from collections.abc import Callable

import pytest

from vitc.errors import UserError
from vitc.runtimes import energy
from vitc.runtimes.energy import CPU, GPU, SOURCES, Source
from vitc.runtimes.energy.meter import NoReading, Reading


class Fake:
    """A sensor that works, or does not."""

    counts = True

    def __init__(self, name: str, problem: NoReading | None = None) -> None:
        self.name, self.problem = name, problem

    def start(self) -> None:
        if self.problem:
            raise self.problem

    def read(self) -> Reading:
        return Reading(1.0)

    def stop(self) -> None: ...


Put = Callable[..., None]


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Put:
    """Put sensors of that name into the table, in that order, instead of the real ones."""
    monkeypatch.setattr(energy, "SOURCES", {})

    def add(name: str, problem: NoReading | None = None, covers: str = CPU) -> None:
        energy.SOURCES[name] = Source(name, lambda: Fake(name, problem), frozenset({covers}))

    return add


def test_the_first_that_works_and_counts_the_device_is_taken(put: Put) -> None:
    put("absent", NoReading("none here"))
    put("locked", NoReading("locked", there=True))
    put("graphics", covers=GPU)
    put("first")
    put("second")
    assert energy.choose(None, CPU).name == "first"
    assert energy.choose(None, GPU).name == "graphics"
    assert energy.choose("second", CPU).name == "second"


def test_a_sensor_that_is_there_is_the_reason_before_those_that_are_not(put: Put) -> None:
    put("absent", NoReading("none here"))
    put("locked", NoReading("locked: ask for the key", there=True))
    with pytest.raises(NoReading, match="locked: ask for the key"):
        energy.choose(None, CPU)
    with pytest.raises(NoReading, match="no sensor for its gpu; name a meter with --meter"):
        energy.choose(None, GPU)


def test_a_sensor_of_another_device_is_not_taken(put: Put) -> None:
    put("graphics", covers=GPU)
    with pytest.raises(NoReading, match="graphics does not count what the cpu takes"):
        energy.choose("graphics", CPU)


def test_none_is_a_choice_and_a_command_another() -> None:
    with pytest.raises(NoReading, match="not asked for"):
        energy.choose("none", CPU)
    assert energy.choose("echo 5", CPU).name == "meter echo 5"


def test_a_word_that_is_neither_is_refused_early() -> None:
    for word in (None, "none", "echo 5", *SOURCES):
        energy.check(word)
    with pytest.raises(UserError, match="no command that can be run"):
        energy.check("no-such-meter")


def test_every_sensor_says_why_it_cannot_be_read_or_can() -> None:
    for source in SOURCES.values():
        why = source.missing()
        assert why is None or str(why)
