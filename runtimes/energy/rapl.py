"""RAPL: the counters of x86 processors, Intel's and AMD's, as Linux shows them under /sys/class/powercap.

Counted are the packages, and the memory (dram) where it has a counter: it is not part of the package, and the name of
the source says that it is in. Left out are cores and graphics, which a package contains, psys, which contains the
packages, and the zones of intel-rapl-mmio, which show the same package once more.
"""

from dataclasses import dataclass
from pathlib import Path

from .meter import NoReading, Reading
from .sysfs import number, text

POWERCAP = Path("/sys/class/powercap")
RENEWED = 1e-3
"""Seconds after which the processor renews its counts."""
MEND = "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj (until the next start)"


@dataclass
class _Zone:
    """One counter: microjoules that begin again at 0 after `most`."""

    path: Path
    name: str
    most: int
    last: int
    joules: float = 0.0

    def read(self) -> float:
        """Joules since the zone was opened."""
        now = number(self.path / "energy_uj", MEND)
        passed = now - self.last
        if passed < 0:
            if self.last < self.most / 2:
                raise NoReading(f"RAPL {self.name} began anew at {now} uJ, far from its end", there=True)
            passed += self.most
        self.last = now
        self.joules += passed / 1e6
        return self.joules


class Rapl:
    """All packages together."""

    counts = True

    def __init__(self, root: Path = POWERCAP) -> None:
        self._root = root
        self._zones: list[_Zone] = []

    @property
    def name(self) -> str:
        """The zones that are counted."""
        return f"RAPL {' + '.join(zone.name for zone in self._zones)}".strip()

    def start(self) -> None:
        """Open the zones."""
        folders = sorted(self._root.glob("intel-rapl:*"))
        named = [(folder, text(folder / "name", MEND)) for folder in folders]
        counted = [(folder, name) for folder, name in named if name.startswith("package") or name == "dram"]
        if not any(name.startswith("package") for _, name in counted):
            raise NoReading(
                f"no RAPL package under {self._root}: virtual machines have none; else sudo modprobe intel_rapl_msr"
            )
        self._zones = [
            _Zone(folder, name, *(number(folder / file, MEND) for file in ("max_energy_range_uj", "energy_uj")))
            for folder, name in counted
        ]

    def read(self) -> Reading:
        """The sum."""
        return Reading(sum(zone.read() for zone in self._zones), step=RENEWED)

    def stop(self) -> None:
        """Nothing is held."""
