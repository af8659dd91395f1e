"""The protocol, on a clock that only the servers move."""

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import pytest

from vitc.errors import VerificationFailed
from vitc.runtimes import intervals
from vitc.runtimes.intervals import SURE
from vitc.runtimes.latency import (
    LEAST_LIVES,
    LEAST_ROUNDS,
    MOST_LIVES,
    Outcome,
    Plan,
    Surroundings,
    measure,
    orders,
    runs_in_turn,
)

MS = 1_000_000


class Machine:
    """A fake clock, servers that move it by known times, and a note of who did what when."""

    def __init__(self) -> None:
        self.now = 0.0
        self.noted: list[tuple[str, str]] = []
        self.alive: set[str] = set()
        self.luck = np.random.default_rng(0)
        self.lucky = 0.0

    def clock(self) -> float:
        return self.now

    def opener(self, name: str, milliseconds: float, fails: str = "", after: int = 0) -> Callable[[], "Server"]:
        return lambda: Server(self, name, milliseconds, fails if len(self.turns_of(name)) >= after else "")

    def turns_of(self, name: str) -> list[str]:
        return [who for what, who in self.noted if (what, who) == ("turn", name)]

    def compare(self, plan: Plan, **milliseconds: float) -> Outcome:
        openers = {name: self.opener(name, each) for name, each in milliseconds.items()}
        return measure(openers, [tuple(openers)[:2]] if len(openers) > 1 else [], plan, Surroundings(self.clock))  # type: ignore[list-item]


class Server:
    """An artifact that takes so long, with the luck of its process; `fails` names what goes wrong."""

    def __init__(self, machine: Machine, name: str, milliseconds: float, fails: str) -> None:
        self.machine, self.name, self.fails = machine, name, fails
        self.pace = float(milliseconds * np.exp(machine.luck.normal(0, machine.lucky)))

    def __enter__(self) -> "Server":
        self.note("open")
        self.machine.alive.add(self.name)
        self.machine.now += 0.5
        return self

    def __exit__(self, *exception: object) -> None:
        self.machine.alive.discard(self.name)

    def warm_up(self, seconds: float) -> float:
        self.note("warm up")
        self.machine.now += seconds
        return self.pace * MS

    def turn(self, runs: int) -> list[tuple[int, int]]:
        self.note("turn")
        self.machine.now += runs * self.pace / 1000
        return [(round(self.pace * MS), 0)] * runs

    def note(self, what: str) -> None:
        self.machine.noted.append((what, self.name))
        if what == self.fails:
            raise VerificationFailed(f"{self.name} fails to {what}")


@pytest.fixture
def machine() -> Iterator[Machine]:
    found = Machine()
    yield found
    assert not found.alive, "every server was ended"


def test_known_rates_give_the_known_ratio(machine: Machine) -> None:
    found = machine.compare(Plan(), slow=14.0, fast=7.0)
    lives = found.samples["slow"].lives, found.samples["fast"].lives
    assert intervals.ratio(*lives).value == pytest.approx(2.0)
    assert not found.failures


def test_where_nothing_disturbs_few_lives_are_enough(machine: Machine) -> None:
    found = machine.compare(Plan(), a=10.0, b=10.0)
    assert len(found.samples["a"].lives) == SURE


def test_in_a_life_all_are_started_then_warmed_up_then_take_turns(machine: Machine) -> None:
    machine.compare(Plan(rounds=4), a=10.0, b=5.0)
    assert len(machine.noted) == SURE * (2 + 2 + 4 * 2)
    for start in range(0, len(machine.noted), 12):
        one = machine.noted[start : start + 12]
        assert [what for what, _ in one] == ["open"] * 2 + ["warm up"] * 2 + ["turn"] * 8
        assert all({who for _, who in one[pair : pair + 2]} == {"a", "b"} for pair in range(0, 12, 2))


def test_turns_have_the_same_runs_whoever_takes_them(machine: Machine) -> None:
    found = machine.compare(Plan(rounds=3), a=10.0, b=2.5)
    shapes = {life.shape for one in found.samples.values() for life in one.lives}
    assert shapes == {(3, 5, 2)}


def test_more_lives_where_processes_differ(machine: Machine) -> None:
    machine.lucky = 0.05
    found = machine.compare(Plan(seconds=1000), a=10.0, b=10.0)
    lives = found.samples["a"].lives, found.samples["b"].lives
    assert SURE < len(lives[0]) < MOST_LIVES
    assert intervals.ratio(*lives).narrow(0.05)
    assert not intervals.ratio(lives[0][:-1], lives[1][:-1]).narrow(0.05)


def test_a_single_artifact_is_measured_until_its_median_is_known(machine: Machine) -> None:
    machine.lucky = 0.03
    found = machine.compare(Plan(seconds=1000), a=10.0)
    assert intervals.middle(found.samples["a"].lives).narrow(0.05)


def test_the_time_ends_the_lives_but_not_the_first(machine: Machine) -> None:
    machine.lucky = 0.5
    machine.compare(Plan(seconds=60), a=10.0, b=10.0)
    assert 40 < machine.now <= 60
    machine.now = 0
    found = machine.compare(Plan(seconds=1), a=10.0, b=10.0)
    assert {len(one.lives) for one in found.samples.values()} == {LEAST_LIVES}


def test_lives_of_cores_that_share_are_left_out_and_others_lived(machine: Machine) -> None:
    openers = {name: machine.opener(name, 10.0) for name in ("a", "b")}
    shares = iter([1.0, 1.0, 0.5, 1.0, 1.0, 0.6, 0.4, 0.4, *[0.9] * 100])
    found = measure(openers, [("a", "b")], Plan(), Surroundings(machine.clock, lambda: next(shares)))
    assert (found.crowded_lives, found.left_out_lives) == (0, 3), "the share before and that after a life count"
    assert {len(one.lives) for one in found.samples.values()} == {SURE}


def test_where_cores_always_share_all_lives_count_and_it_is_said(machine: Machine) -> None:
    openers = {name: machine.opener(name, 10.0) for name in ("a", "b")}
    shares = iter([*[1.0] * 4, *[0.5] * 100])
    found = measure(openers, [("a", "b")], Plan(), Surroundings(machine.clock, lambda: next(shares)))
    lives = len(found.samples["a"].lives)
    assert machine.now > 50, "it goes on till the time is up"
    assert (found.crowded_lives, found.left_out_lives) == (lives - 2, 0)


def test_what_is_left_out_is_that_life_and_no_other(machine: Machine) -> None:
    lives = iter(range(100))
    openers = {"a": lambda: Server(machine, "a", 1.0 + next(lives), "")}
    shares = iter([*[1.0] * 4, 0.1, *[1.0] * 100])
    found = measure(openers, [], Plan(), Surroundings(machine.clock, lambda: next(shares)))
    assert [round(float(life[0, 0, 0]) / MS) for life in found.samples["a"].lives][:4] == [1, 2, 4, 5]


def test_a_life_of_slow_artifacts_has_fewer_rounds(machine: Machine) -> None:
    found = machine.compare(Plan(seconds=12), a=3000.0, b=3000.0)
    assert {len(life) for life in found.samples["a"].lives} == {LEAST_ROUNDS}


@pytest.mark.parametrize("what", ["open", "warm up", "turn"])
def test_what_goes_wrong_goes_wrong_for_one_alone(machine: Machine, what: str) -> None:
    openers = {
        "a": machine.opener("a", 10.0),
        "b": machine.opener("b", 10.0, fails=what, after=20),
        "c": machine.opener("c", 5.0),
    }
    told: list[int] = []
    found = measure(openers, [("a", "b"), ("a", "c")], Plan(), Surroundings(machine.clock), told.append)
    assert found.failures == {"b": f"b fails to {what}"}
    assert set(found.samples) == {"a", "c"}
    assert intervals.ratio(found.samples["a"].lives, found.samples["c"].lives).value == pytest.approx(2.0)
    assert told == [1] * SURE


def test_nothing_that_works_is_nothing(machine: Machine) -> None:
    assert measure({}, [], Plan(), Surroundings()) == Outcome()
    found = measure({"a": machine.opener("a", 1.0, fails="open")}, [], Plan(), Surroundings(machine.clock))
    assert (found.samples, found.failures) == ({}, {"a": "a fails to open"})


def test_a_turn_takes_about_a_fortieth_of_a_second() -> None:
    assert runs_in_turn([5 * MS]) == 5
    assert runs_in_turn([10 * MS, 2.5 * MS]) == 5
    assert runs_in_turn([900 * MS]) == 1
    assert runs_in_turn([0.0]) >= 1


def test_everybody_is_first_as_often_and_the_seed_decides() -> None:
    names = ["a", "b", "c"]
    some = list(islice(orders(names, 3), 30))
    assert [[order[0] for order in some].count(name) for name in names] == [10, 10, 10]
    assert all(sorted(order) == names for order in some)
    assert some == list(islice(orders(names, 3), 30))
    assert some != list(islice(orders(names, 4), 30))
