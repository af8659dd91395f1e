"""Peak resident memory: of a call in a process of its own, and of a stage in this process.

A child's ru_maxrss starts at the high-water mark of the process that started it, so a small child of a big parent looks
big. Linux keeps a mark for each address space (VmHWM in /proc/self/status) that starts anew with the program and that
writing 5 to /proc/self/clear_refs lowers to the present size; that one is read where it exists. Elsewhere a mark that
did not rise says nothing, and None is returned.

Run as a program, this file is the child: it imports nothing but the standard library, so the peak is the target's own.
"""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 600.0
"""Seconds after which a child is ended."""


@dataclass(frozen=True)
class Peak:
    """Megabytes (1e6 bytes), or None and why it could not be measured."""

    mb: float | None
    why: str = ""


def measure(target: Callable[..., object], args: Sequence[object], timeout: float = TIMEOUT) -> Peak:
    """The peak of a fresh process that calls `target(*args)`.

    The target is found by its module and name, and the arguments travel as JSON: nothing of this process is copied.
    Importing the target's module counts as well, so it should import no more than serving needs.
    """
    module, name = target.__module__, target.__qualname__
    if module == "__main__" or "<" in name:
        raise ValueError(f"{module}.{name} cannot be imported by name in another process")
    job = json.dumps({"path": sys.path, "module": module, "name": name, "args": list(args)})
    command = [sys.executable, "-P", __file__]  # -P: this folder's names must not hide the libraries'
    try:
        done = subprocess.run(
            command, input=job, capture_output=True, encoding="utf-8", errors="replace", timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return Peak(None, f"not done after {timeout:g} seconds")
    if done.returncode:
        return Peak(None, _cause(done.returncode, done.stderr))
    answer = json.loads(done.stdout) if done.stdout else "ended before its peak was read"
    if isinstance(answer, str):
        return Peak(None, answer)
    return Peak(answer, "" if answer is not None else "this system does not tell")


def reset() -> float:
    """Begin to watch this process's peak; give what is returned to `own_peak_mb`."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        if _mark_of_linux() is not None:
            return 0.0
    return _high_water() or 0.0


def own_peak_mb(since: float = 0.0) -> float | None:
    """The peak of this process in MB since `reset`; None where the mark cannot be lowered and did not rise since."""
    peak = _high_water()
    return peak if peak is not None and peak > since else None


def _high_water() -> float | None:
    mark = _mark_of_linux()
    if mark is not None or sys.platform == "win32":
        return mark
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _mark_of_linux() -> float | None:
    try:
        found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 / 1e6 if found else None


def _cause(code: int, stderr: str) -> str:
    """Why a child failed, in one line."""
    if code < 0:
        known = {number.value: number.name for number in signal.Signals}
        return f"ended by {known.get(-code, f'signal {-code}')}" + (" (out of memory?)" if code == -9 else "")
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"ended with exit code {code}"


def _serve() -> None:
    """The child: standard output is kept for the answer, whatever the target prints goes to standard error."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    since = reset()
    job = json.load(sys.stdin)
    sys.path[:] = job["path"]
    target = importlib.import_module(job["module"])
    for part in job["name"].split("."):
        target = getattr(target, part)
    target(*job["args"])  # type: ignore[operator]  # a module only until the loop above ends
    with answer:
        json.dump(own_peak_mb(since), answer)


if __name__ == "__main__":
    _serve()
