"""A meter that is a program which prints: started, read line by line beside the measurement, and ended."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import IO

from .meter import NoReading, Reading

PATIENCE = 20.0
"""Seconds in which the first value must come."""
GRACE = 5.0
"""Seconds that a program has to end when it is asked to."""

Parse = Callable[[str], Reading | None]
"""The watts that a line tells; None where it tells none. A `ValueError` says that it should have."""


class Printed:
    """A program by its words; what it printed last is what is read."""

    counts = False

    def __init__(self, name: str, words: Sequence[str], parse: Parse) -> None:
        self.name, self._words, self._parse = name, list(words), parse
        self._process: subprocess.Popen[str] | None = None
        self._complaints: IO[str] | None = None
        self._reader: threading.Thread | None = None
        self._spoken = threading.Event()
        self._stopping = False
        self._latest: Reading | None = None
        self._wrong = ""

    def start(self) -> None:
        """Start it, and wait for its first value."""
        self._spoken.clear()
        self._stopping, self._latest, self._wrong = False, None, ""
        self._complaints = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (stop closes it)
        try:
            self._process = subprocess.Popen(
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as failure:
            raise NoReading(f"{self.name}: {self._words[0]} cannot be started ({failure.strerror})") from None
        self._reader = threading.Thread(target=self._follow, args=(self._process,), daemon=True)
        self._reader.start()
        if not self._spoken.wait(PATIENCE):
            raise NoReading(f"{self.name} printed no value in {PATIENCE:g} s: it must end every line", there=True)
        self.read()

    def read(self) -> Reading | None:
        """The latest value, with the second at which it came."""
        if self._wrong:
            raise NoReading(self._wrong, there=True)
        return self._latest

    def stop(self) -> None:
        """End it and all that it started; where that is not ours to do (sudo), its output is no longer read."""
        self._stopping = True
        if (process := self._process) is not None:
            for sign in (signal.SIGTERM, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL):
                _signal(process, sign)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE)
                    break
            self._process = None
        if self._reader is not None:
            self._reader.join(GRACE)
            self._reader = None
        if self._complaints is not None:
            self._complaints.close()
            self._complaints = None

    def _follow(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if self._stopping:
                    return
                try:
                    told = self._parse(line)
                except ValueError as wrong:
                    self._end(f"{self.name} {wrong}")
                    return
                if told is not None:
                    self._latest = replace(told, at=time.monotonic())
                    self._spoken.set()
        if not self._stopping:
            self._end(f"{self.name} ended with exit code {process.wait()}{self._last_words()}")

    def _end(self, why: str) -> None:
        self._wrong = why
        self._spoken.set()

    def _last_words(self) -> str:
        """The last line that it complained with."""
        if self._complaints is None:
            return ""
        self._complaints.seek(0)
        lines = self._complaints.read().split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f": {last[:200]}" if last else ""


def last_place(number: str) -> float:
    """The step that the last digit of a printed number stands for: 0.1 of 12.3, 1 of 12."""
    decimals = number.lower().partition("e")[0].partition(".")[2]
    return 10.0 ** -len(decimals)


def _signal(process: "subprocess.Popen[str]", sign: signal.Signals) -> None:
    """To the process and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.terminate()
        else:
            os.killpg(process.pid, sign)
