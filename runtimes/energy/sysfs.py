"""Files of a sensor in sysfs, read so that what is wrong with one is said in one line."""

from pathlib import Path

from .meter import NoReading


def text(path: Path, mend: str) -> str:
    """What a file says; `mend` is what to do where it may not be read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except PermissionError:
        raise NoReading(f"{path} may not be read: {mend}", there=True) from None
    except (OSError, UnicodeDecodeError) as failure:
        raise NoReading(f"{path} cannot be read ({type(failure).__name__}): is the sensor gone?", there=True) from None


def number(path: Path, mend: str) -> int:
    """The whole number that a file says."""
    said = text(path, mend)
    if not said.removeprefix("-").isdecimal():
        raise NoReading(f"{path} says {said[:40]!r}, which is no number", there=True)
    return int(said)
