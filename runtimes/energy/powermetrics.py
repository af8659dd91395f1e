"""powermetrics: macOS's own estimate of what the processor takes, CPU, GPU and Neural Engine together.

Apple silicon: `Combined Power (CPU + GPU + ANE): 1172 mW`; on macOS 11 `Package Power: 6100 mW`.
Intel: `Intel energy model derived package power (CPUs+GT+SA): 2.48W`.
"""

import os
import re
import shutil

from .meter import NoReading, Reading
from .printed import Printed, last_place

POWER = re.compile(r"^(?:Combined Power|Package Power|Intel energy model derived package power)[^:]*: *([\d.]+) *(m?)W")
COMMAND = ("powermetrics", "--samplers", "cpu_power", "--sample-rate", "200", "--buffer-size", "1")
MEND = "sudo -v && vitc ..., or run vitc as root"


def parse(line: str) -> Reading | None:
    """The watts of a line that tells the whole processor's."""
    found = POWER.match(line)
    if found is None:
        return None
    number, milli = found.groups()
    unit = 1e-3 if milli else 1.0
    return Reading(float(number) * unit, step=last_place(number) * unit)


class Powermetrics(Printed):
    """The tool; only root may run it, so it is started by a sudo that does not ask."""

    def __init__(self) -> None:
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        super().__init__("powermetrics", COMMAND if root else ("sudo", "-n", *COMMAND), parse)

    def start(self) -> None:
        """Start it."""
        if shutil.which(COMMAND[0]) is None:
            raise NoReading("powermetrics is not installed: only macOS has it")
        try:
            super().start()
        except NoReading as why:
            raise NoReading(f"{why}; {MEND}", there=True) from None
