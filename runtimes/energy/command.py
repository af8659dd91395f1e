"""Any meter that a command can read out: it prints watts, one number a line, as often as it has a new one.

Empty lines are passed over. Any other line that is no number of at least 0 ends the measurement, and so does the end of
the command. It must not hold its lines back (a Python script prints with `flush=True`); it is ended by SIGTERM.
"""

import math
import shlex
import shutil

from ...errors import UserError
from .meter import Reading
from .printed import Printed, last_place


def meter(command: str) -> Printed:
    """The meter behind a command; a command that cannot be run is refused."""
    words = _words(command)
    if not words or shutil.which(words[0]) is None:
        raise UserError(
            f"--meter {command!r} is no command that can be run; give one that prints watts, a number a line, "
            "the name of a sensor (vitc doctor lists them), or none"
        )
    return Printed(f"meter {command}", words, parse)


def parse(line: str) -> Reading | None:
    """The watts that a line says."""
    said = line.strip()
    if not said:
        return None
    try:
        watts = float(said)
    except ValueError:
        watts = math.nan
    if not 0 <= watts < math.inf:
        raise ValueError(f"printed {said[:40]!r}, which is no number of watts")
    return Reading(watts, step=last_place(said))


def _words(command: str) -> list[str]:
    """The words of a command as a shell takes it apart; none where its quotes do not match."""
    try:
        return shlex.split(command)
    except ValueError:
        return []
