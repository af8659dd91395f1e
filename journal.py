"""What a run has finished, so that a killed one can go on: a stage counts only when all of its outputs were whole.

Each stage has a key, the hash of everything that its result depends on, and a note in `.stages/` that is written last,
in one step: the key, the result, and the hash of every file the stage left. A later run reuses a stage only if its key
and its files still agree, so neither a half-written file nor a changed input is ever taken for a finished one.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .atomic import remove, remove_partials, write_text
from .errors import UserError

FOLDER = ".stages"


@dataclass(frozen=True)
class Finished:
    """A stage that is done, now or in an earlier run."""

    key: str
    result: dict[str, Any]
    reused: bool


class Journal:
    """The finished stages of one run folder."""

    def __init__(self, out: Path, *, resume: bool) -> None:
        self.out, self.notes = out, out / FOLDER
        self._made = not out.exists()
        if not self._made and not out.is_dir():
            raise UserError(f"{out} is a file; give an empty or new folder as --out")
        self._fresh = self._made or not any(out.iterdir())
        if not self._fresh and not self.notes.is_dir():
            raise UserError(f"{out} holds other files; give an empty or new folder as --out")
        if not self._fresh and not resume:
            raise UserError(f"{out} holds a run; add --resume to finish it, or give another --out")
        try:
            self.notes.mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise UserError(f"cannot write to {out}: {failure.strerror}; give another --out") from failure
        remove_partials(out)

    def stage(
        self, name: str, inputs: Mapping[str, Any], outputs: Sequence[Path], work: Callable[[], dict[str, Any]]
    ) -> Finished:
        """The stage's result: from its note if that still holds, else by doing the work and noting it."""
        key = digest({"stage": name, **inputs})
        note = self.notes / f"{name.replace('/', '-')}.json"
        known = _read(note)
        if known and known["key"] == key and known["files"] == self._hashes(outputs):
            return Finished(key, known["result"], reused=True)
        note.unlink(missing_ok=True)
        result = json.loads(json.dumps(work()))
        write_text(note, json.dumps({"key": key, "result": result, "files": self._hashes(outputs)}))
        return Finished(key, result, reused=False)

    def workplace(self, name: str, inputs: Mapping[str, Any]) -> Path:
        """Where a stage keeps what it goes on from; another folder for other inputs. Whoever uses it makes it."""
        return self.notes / f"{name}-{digest({'stage': name, **inputs})[:16]}"

    def tidy(self, name: str) -> None:
        """Remove what a stage that is done went on from, and what it would have with other inputs."""
        for left in self.notes.glob(f"{name}-*"):
            if left.is_dir():
                remove(left)

    def discard_if_empty(self) -> None:
        """Leave the place as it was found when this run began in it and finished nothing."""
        if self._fresh and not any(self.notes.glob("*.json")):
            for left in [self.out] if self._made else list(self.out.iterdir()):
                remove(left)

    def _hashes(self, outputs: Sequence[Path]) -> dict[str, str]:
        files = [f for output in outputs for f in (sorted(output.rglob("*")) if output.is_dir() else [output])]
        return {str(f.relative_to(self.out)): file_sha256(f) for f in files if f.is_file()}


def digest(value: object) -> str:
    """A hash of plain values that does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The hash of a file's content, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read(note: Path) -> dict[str, Any] | None:
    """A note, if it is there and whole."""
    try:
        value = json.loads(note.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) and value.keys() == {"key", "result", "files"} else None
