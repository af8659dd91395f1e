"""Processes are kept on whole cores, the fast ones, as many as they have threads."""

import os
import sys
from pathlib import Path

import pytest

from vitc.runtimes import affinity

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bind processes")


@pytest.fixture
def cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of eight processors, of which this process may use all."""
    monkeypatch.setattr(affinity, "CPUS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    return tmp_path


def write(cpus: Path, core: int, name: str, text: str) -> None:
    file = cpus / f"cpu{core}" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n", encoding="ascii")


def test_of_equal_cores_the_last_ones(cpus: Path) -> None:
    assert affinity.choose(1) == (7,)
    assert affinity.choose(3) == (5, 6, 7)


def test_all_where_there_are_no_more(cpus: Path) -> None:
    assert affinity.choose(8) == affinity.choose(20) == tuple(range(8))


def test_two_threads_do_not_share_a_core(cpus: Path) -> None:
    for core in range(8):
        write(cpus, core, "topology/thread_siblings_list", f"{core // 2 * 2}-{core // 2 * 2 + 1}")
    assert affinity.choose(4) == (1, 3, 5, 7)
    assert affinity.choose(5) == (1, 3, 5, 6, 7)


def test_fast_cores_come_first(cpus: Path) -> None:
    for core in range(8):
        write(cpus, core, "cpufreq/cpuinfo_max_freq", "4000000" if core < 2 else "2000000")
    assert affinity.choose(2) == (0, 1)
    assert affinity.choose(3) == (0, 1, 7)
    for core in range(8):
        write(cpus, core, "cpu_capacity", "1024" if core == 4 else "300")
    assert affinity.choose(1) == (4,)


def test_what_a_process_may_not_use_is_left_alone(cpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 4})
    assert affinity.choose(1) == (4,)
    assert affinity.choose(2) == (1, 4)


def test_threads_of_a_core_are_one_whole_core(cpus: Path) -> None:
    assert affinity.whole((0, 1, 4)) == 3, "of nothing known, each is one"
    for core in range(8):
        write(cpus, core, "topology/thread_siblings_list", f"{core // 2 * 2}-{core // 2 * 2 + 1}")
    assert affinity.whole(range(8)) == 4
    assert affinity.whole((1, 2, 3)) == 2
    assert affinity.whole(()) == 0


def test_other_systems_bind_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert affinity.choose(2) == ()
