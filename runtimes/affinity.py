"""Which cores a measured process is kept on: as many as it has threads, the fastest, and each a whole one."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")


def choose(threads: int) -> tuple[int, ...]:
    """The cores for so many threads; empty where a system does not let processes be bound."""
    if sys.platform != "linux":
        return ()
    allowed = sorted(os.sched_getaffinity(0))
    if threads >= len(allowed):
        return tuple(allowed)
    ranked = sorted(allowed, key=lambda core: (-_pace(core), _is_second(core, allowed), -core))
    return tuple(sorted(ranked[:threads]))  # among equals the last: systems do their chores on the first


def whole(cores: Sequence[int]) -> int:
    """How many whole cores these are, as far as the system says."""
    return sum(not _is_second(core, cores) for core in cores)


def _pace(core: int) -> int:
    """What tells fast cores from slow ones: their capacity on ARM, else the highest frequency; 0 where unknown."""
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        if text := _read(core, name):
            return int(text)
    return 0


def _is_second(core: int, allowed: Sequence[int]) -> bool:
    """Whether it shares its arithmetic units with one of them that has a higher number."""
    siblings: set[int] = set()
    for part in _read(core, "topology/thread_siblings_list").split(","):
        if part:
            first, _, last = part.partition("-")
            siblings.update(range(int(first), int(last or first) + 1))
    return any(other > core for other in siblings.intersection(allowed))


def _read(core: int, name: str) -> str:
    try:
        return (CPUS / f"cpu{core}" / name).read_text(encoding="ascii").strip()
    except OSError:
        return ""
