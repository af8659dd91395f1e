"""A process of its own for one piece of work: asked over pipes, and gone when nobody asks any more.

What happens to it happens to nobody else: one that is killed, raises or hangs gives its reason in one line. The target
is found by its module and name, and everything travels as JSON: nothing of the asking process is copied. When the
asking process ends, however it ends, the worker's standard input does, and so does the worker, in the midst of whatever
it does. worker_process.py is what runs over there.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from .. import errors

PROGRAM = Path(__file__).with_name("worker_process.py")
TIMEOUT = 600.0
"""Seconds after which a worker that does not answer is ended."""
PATIENCE = 5.0
"""Seconds that a worker has to leave by itself."""
HEAP = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "131072"}
"""Has glibc keep one heap, and no block above 128 KB in it: how much stays in holes of the heap is luck."""


class Worker:
    """A context manager; `ask` calls a method of `target(*args)` over there. `cores`: the only ones it may use."""

    def __init__(self, target: Callable[..., object], args: Sequence[object] = (), cores: Sequence[int] = ()) -> None:
        module, name = target.__module__, target.__qualname__
        if module == "__main__" or "<" in name:
            raise ValueError(f"{module}.{name} cannot be imported by name in another process")
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  (closed on leaving)
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(PROGRAM)],  # -P: this folder's names must not hide the libraries'
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            encoding="utf-8",
            env={**os.environ, **HEAP},
        )
        job = {"path": sys.path, "module": module, "name": name, "args": list(args), "cores": list(cores)}
        self._send({**job, "errors": errors.__name__})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if any(exception):
            self._process.kill()
        with suppress(OSError):
            _pipe(self._process.stdin).close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()
        self._complaints.close()

    def ask(self, method: str, *args: object, timeout: float | None = None) -> Any:
        """What a method gives."""
        self.begin(method, *args)
        return self.answer(timeout)

    def begin(self, method: str, *args: object) -> None:
        """Have a method called; `answer` waits for what it gives."""
        self._send({"method": method, "args": args})

    def answer(self, timeout: float | None = None) -> Any:
        """What the method gave that was begun; VerificationFailed with the reason where the worker came to its end."""
        hung, limit = threading.Event(), TIMEOUT if timeout is None else timeout

        def end() -> None:
            hung.set()
            self._process.kill()

        watch = threading.Timer(limit, end)
        watch.daemon = True
        watch.start()
        try:
            line = _pipe(self._process.stdout).readline()
        finally:
            watch.cancel()
        if not line:
            raise errors.VerificationFailed(f"no answer after {limit:g} seconds" if hung.is_set() else self._cause())
        answer = json.loads(line)
        if "error" in answer:
            kind, text = answer["error"]
            raise getattr(errors, kind)(text)
        return answer["value"]

    def _send(self, message: object) -> None:
        stdin = _pipe(self._process.stdin)
        with suppress(BrokenPipeError):  # it is gone: the answer says why
            stdin.write(json.dumps(message) + "\n")
            stdin.flush()

    def _cause(self) -> str:
        """Why the worker ended, in one line."""
        code = self._process.wait()
        self._complaints.seek(0)
        if code < 0:
            known = {number.value: number.name for number in signal.Signals}
            return f"ended by {known.get(-code, f'signal {-code}')}" + (" (out of memory?)" if code == -9 else "")
        lines = [line.strip() for line in self._complaints.read().decode("utf-8", "replace").splitlines()]
        said = [line for line in lines if line] if code else []
        return re.sub(r"^(\w+\.)+(?=\w+: )", "", said[-1]) if said else f"ended with exit code {code}"


def _pipe(pipe: Any) -> Any:
    """One of the worker's pipes, which are there as long as it is."""
    assert pipe is not None
    return pipe
