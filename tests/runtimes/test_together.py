"""Cores are asked by working: real ones as they are, pretended ones with known rates."""

import math
import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from vitc.runtimes import affinity, together
from vitc.runtimes.together import Busy, Probe


class Pretending:
    """The worker of a core that does 100 products a second by itself, and a known share of that beside others."""

    share = 1.0
    asked: ClassVar[list[tuple[int, str]]] = []

    def __init__(self, target: object, cores: list[int]) -> None:
        assert target is Busy
        (self.core,) = cores

    def __enter__(self) -> "Pretending":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.asked.append((self.core, "ended"))

    def ask(self, method: str, *_: object) -> float:
        self.asked.append((self.core, method))
        return 100.0 * (1 + self.core)

    def begin(self, method: str, *_: object) -> None:
        self.asked.append((self.core, f"begin {method}"))

    def answer(self) -> float:
        self.asked.append((self.core, "answer"))
        return 100.0 * (1 + self.core) * self.share


@pytest.fixture
def cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cores of which the system says nothing, and workers that pretend."""
    monkeypatch.setattr(affinity, "CPUS", tmp_path)
    monkeypatch.setattr(together, "Worker", Pretending)
    monkeypatch.setattr(Pretending, "asked", [])
    return tmp_path


@pytest.mark.parametrize("share", [1.0, 0.8, 0.5])
def test_what_they_do_together_is_held_against_what_each_does_alone(
    cpus: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr(Pretending, "share", share)
    with Probe((0, 1, 2)) as probe:
        assert probe() == pytest.approx(share)


def test_each_works_alone_first_and_then_all_are_at_it_before_one_is_waited_for(cpus: Path) -> None:
    with Probe((0, 1)) as probe:
        probe()
    assert Pretending.asked == [
        *((0, "pace"), (1, "pace")),
        *((0, "begin pace"), (1, "begin pace"), (0, "answer"), (1, "answer")),
        *((1, "ended"), (0, "ended")),
    ]


def test_of_threads_of_a_core_no_more_is_expected_than_of_the_core(cpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for core in range(4):
        file = cpus / f"cpu{core}" / "topology" / "thread_siblings_list"
        file.parent.mkdir(parents=True)
        file.write_text(f"{core // 2 * 2}-{core // 2 * 2 + 1}\n", encoding="ascii")
    monkeypatch.setattr(Pretending, "share", 0.5)
    with Probe((0, 1, 2, 3)) as probe:
        assert probe() == pytest.approx(1.0)
    with Probe((1, 3)) as probe:
        assert probe() == pytest.approx(0.5)


@pytest.mark.parametrize("cores", [(), (3,), (0, 1)])
def test_one_core_is_not_asked(cpus: Path, cores: tuple[int, ...]) -> None:
    for core in (0, 1):
        file = cpus / f"cpu{core}" / "topology" / "thread_siblings_list"
        file.parent.mkdir(parents=True)
        file.write_text("0,1\n", encoding="ascii")
    with Probe(cores) as probe:
        assert probe() == 1.0
    assert not Pretending.asked


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bind processes")
def test_real_cores_answer() -> None:
    cores = sorted(os.sched_getaffinity(0))
    with Probe(cores) as probe:
        share = probe()
    assert math.isfinite(share)
    assert share > 0


def test_the_pace_is_what_was_done_in_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Busy()
    ticks = iter([0.0, *(0.5 * tick for tick in range(1, 100))])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert busy.pace(2.0) == pytest.approx(3 / 2.0), "three products between the looks at 0.5, 1, 1.5 and 2 seconds"
