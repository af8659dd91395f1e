"""Power rails of a Jetson: which of them make up the whole, and the INA3221 sensors that measure them, in sysfs.

Where a module measures what comes in (VDD_IN; POM_5V_IN on the Nano; VIN on Thor), that is the whole, and the other
rails are parts of it. Else the whole is the sum of the module's rails: without those that another one feeds.
"""

from collections.abc import Mapping
from pathlib import Path

from .meter import NoReading, Reading
from .sysfs import number, text

HWMON = Path("/sys/class/hwmon")
MEND = "run vitc as root, or give yourself the right with sudo chmod a+r"
INPUTS = ("VDD_IN", "POM_5V_IN", "VIN")
FED = ("VDDQ_VDD2_1V8AO", "NC")
"""The memory of AGX Orin hangs on VIN_SYS_5V0; NC is not connected."""
CHANNELS = (1, 2, 3)
"""Of a sensor; what comes behind them are sums and shunt voltages."""
LOWEST_BIT = 40.0
"""Microvolts across the shunt (INA3221's data sheet)."""


def whole(rails: Mapping[str, float]) -> list[str]:
    """The names of the rails that make up what a module takes; none where no rail is known."""
    for name in INPUTS:
        if name in rails:
            return [name]
    return [name for name in rails if name not in FED]


class Rails:
    """The sensors of a Jetson."""

    counts = False

    def __init__(self, root: Path = HWMON) -> None:
        self._root = root
        self._channels: dict[str, tuple[Path, int]] = {}

    @property
    def name(self) -> str:
        """The rails that are added up."""
        return f"INA3221 {' + '.join(self._channels)}".strip()

    def start(self) -> None:
        """Find the rails."""
        chips = [path.parent for path in sorted(self._root.glob("hwmon*/name")) if text(path, MEND) == "ina3221"]
        found = {
            text(chip / f"in{channel}_label", MEND): (chip, channel)
            for chip in chips
            for channel in CHANNELS
            if (chip / f"in{channel}_label").is_file() and _is_on(chip, channel)
        }
        self._channels = {name: found[name] for name in whole(dict.fromkeys(found, 0.0))}
        if not self._channels:
            raise NoReading(f"no INA3221 rail under {self._root}: only Jetson boards have them")

    def read(self) -> Reading:
        """Their power, now: millivolts times milliamperes."""
        watts = step = 0.0
        for chip, channel in self._channels.values():
            volts = number(chip / f"in{channel}_input", MEND) / 1e3
            watts += volts * number(chip / f"curr{channel}_input", MEND) / 1e3
            step += volts * _finest(chip, channel)
        return Reading(watts, step=step)

    def stop(self) -> None:
        """Nothing is held."""


def _finest(chip: Path, channel: int) -> float:
    """The amperes that the lowest bit of a channel stands for; 0 where its shunt is not known."""
    shunt = chip / f"shunt{channel}_resistor"
    return LOWEST_BIT / number(shunt, MEND) if shunt.is_file() else 0.0


def _is_on(chip: Path, channel: int) -> bool:
    switch = chip / f"in{channel}_enable"
    return not switch.is_file() or text(switch, MEND) != "0"
