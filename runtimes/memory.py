"""Peak resident memory of this process, a worker that serves an artifact or the run itself, from some moment on.

A child's ru_maxrss starts at the high-water mark of the process that started it, so a small child of a big parent looks
big. Linux keeps a mark for each address space (VmHWM in /proc/self/status) that starts anew with the program and that
writing 5 to /proc/self/clear_refs lowers to the present size; that one is read where it exists. Elsewhere a mark that
did not rise says nothing, and None is returned.
"""

import re
import sys
from contextlib import suppress
from pathlib import Path


def reset() -> float:
    """Begin to watch this process's peak; give what is returned to `own_peak_mb`."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        if _of_linux("VmHWM") is not None:
            return 0.0
    return _high_water() or 0.0


def own_peak_mb(since: float = 0.0) -> float | None:
    """The peak of this process in MB since `reset`; None where the mark cannot be lowered and did not rise since."""
    peak = _high_water()
    return peak if peak is not None and peak > since else None


def now_mb() -> float | None:
    """What this process holds at present; where the system tells only of peaks, the highest so far."""
    present = _of_linux("VmRSS")
    return _high_water() if present is None else present


def _high_water() -> float | None:
    mark = _of_linux("VmHWM")
    if mark is not None or sys.platform == "win32":
        return mark
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _of_linux(name: str) -> float | None:
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(rf"^{name}:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else None
