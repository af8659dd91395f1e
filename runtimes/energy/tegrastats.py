"""tegrastats: what a Jetson's own tool prints of its rails.

From JetPack 5 on: `… tj@48C VDD_IN 5120mW/5000mW VDD_CPU_GPU_CV 1200mW/1180mW VDD_SOC 1400mW/1400mW`.
Before: `… thermal@41C POM_5V_IN 2540/2540 POM_5V_GPU 0/0 POM_5V_CPU 318/318`.

The first number of a rail is its power now, the second the mean since the tool was started.
"""

import re
import shutil

from .meter import NoReading, Reading
from .printed import Printed
from .rails import whole

RAIL = re.compile(r"(?<!\S)([A-Z][A-Z0-9_]*) (\d+)(?:mW(?:/\d+mW)?|/\d+)(?!\S)")
COMMAND = ("tegrastats", "--interval", "100")


def parse(line: str) -> Reading | None:
    """The watts of the whole module; None where a line names no rail."""
    rails = {name: int(milliwatts) / 1e3 for name, milliwatts in RAIL.findall(line)}
    names = whole(rails)
    return Reading(sum(rails[name] for name in names), step=1e-3) if names else None


class Tegrastats(Printed):
    """The tool, where it is installed."""

    def __init__(self) -> None:
        super().__init__("tegrastats", COMMAND, parse)

    def start(self) -> None:
        """Start it."""
        if shutil.which(COMMAND[0]) is None:
            raise NoReading("tegrastats is not installed: only Jetson boards have it")
        super().start()
