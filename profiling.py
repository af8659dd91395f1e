"""Files that are exported already, measured against each other on this machine."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from .bench import Bench, Subject, asked, measurement
from .checks import recorded
from .errors import NotAvailable, UserError, VerificationFailed
from .export.artifact import artifact
from .progress import Progress
from .reports import record as records
from .runtimes import RUNTIMES, machine
from .runtimes.audit import AuditResult
from .runtimes.feeds import Shapes
from .runtimes.serving import Serving
from .runtimes.worker import Worker
from .versions import PACKAGES, VERSION

ENGINES = {".onnx": "onnxruntime", ".xml": "openvino"}
"""The engine that serves a file, by how its name ends."""
UNSCORED = {"top1": None, "top5": None, "images": 0}


def profile(
    files: Sequence[str | Path],
    bench: Bench | None = None,
    batches: Sequence[int] = (),
    *,
    progress: Progress | None = None,
    command: str = "",
) -> records.Record:
    """Latency, memory and executed precision of each file; the first is what the others are held against.

    With `batches`, all of it for one batch after the other. A file that cannot run has a row that says why.
    """
    paths = _distinct([Path(file) for file in files])
    here, bench, progress = machine.describe(PACKAGES), bench or asked(None), progress or Progress()
    subjects = [Subject(str(path), path, _engine(path), str(paths[0])) for path in paths]
    started = datetime.now(UTC).isoformat(timespec="seconds")
    benches = [replace(bench, batch=batch) for batch in batches or (bench.batch,)]
    found = [_described(subject, benches[0]) for subject in subjects]
    _check_shapes(bench.shapes, found)
    working = [one for one in found if not one.failure]
    if not working:
        raise VerificationFailed(f"{found[0].subject.artifact}: {found[0].failure}")
    return records.Record(
        vitc=VERSION,
        command=command,
        seed=bench.seed,
        started=started,
        recipe={},
        machine=records.Machine(**asdict(here)),
        model=working[0].model(),
        data=None,
        calibration=None,
        stages=(),
        artifacts=tuple(one.row() for one in found),
        measurements=tuple(_measured(found, benches, progress)),
    )


def _measured(found: Sequence["_Described"], benches: Sequence[Bench], progress: Progress) -> list[records.Measurement]:
    """A row for every batch and file; a file whose batch is fixed has one row."""
    rows = []
    for index, bench in enumerate(benches):
        subjects = [one.subject for one in found if not one.failure and (one.free_batch or index == 0)]
        rows += bench.measure(subjects, progress) if subjects else []
    broken = [benches[0].unmeasured(one.subject, one.failure) for one in found if one.failure]
    order = {one.subject.name: index for index, one in enumerate(found)}
    rows = sorted([*rows, *broken], key=lambda row: order[f"{row['artifact']} {row['runtime']}"])
    return [measurement(row, UNSCORED) for row in rows]


def sizes(text: str | None) -> tuple[int, ...]:
    """The batches that a word as 1,8,32 names; none where nothing is said."""
    if text is None:
        return ()
    words = text.split(",")
    if not all(re.fullmatch("[1-9][0-9]*", word) for word in words) or len({*words}) < len(words):
        raise UserError(f"batch is {text!r}; it must be a whole number, or different ones as 1,8,32")
    return tuple(int(word) for word in words)


def shapes(words: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of inputs that words as tokens=1x128 say."""
    found = {}
    for word in words:
        name, _, said = word.rpartition("=")
        if not name or not re.fullmatch("[1-9][0-9]*(x[1-9][0-9]*)*", said):
            raise UserError(f"shape is {word!r}; it must be an input's name and its sizes, as tokens=1x128")
        found[name] = tuple(int(size) for size in said.split("x"))
    return found


def _distinct(paths: list[Path]) -> list[Path]:
    for index, path in enumerate(paths):
        if not path.is_file():
            raise UserError(f"{path} is not a file; give exported artifacts, such as runs/demo-int8/onnx/model.onnx")
        if path in paths[:index]:
            raise UserError(f"{path} is named twice; name each artifact once")
    return paths


def _engine(path: Path) -> str:
    if path.suffix not in ENGINES:
        raise UserError(f"no engine serves {path}; allowed: files ending in {', '.join(ENGINES)}")
    engine = ENGINES[path.suffix]
    if problem := RUNTIMES[engine].missing():
        raise NotAvailable(problem)
    return engine


@dataclass(frozen=True)
class _Described:
    """What a file says of itself and what its engine runs of it; or why it cannot run."""

    subject: Subject
    notes: Mapping[str, str] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    shape: Sequence[int] = ()
    free_batch: bool = False
    audit: AuditResult | None = None
    failure: str = ""

    def row(self) -> records.Artifact:
        """The record's row of the file."""
        path = self.subject.path
        made = artifact(self.notes.get("vitc.precision", "unknown"), path.suffix[1:], path)
        row = {**asdict(made), "name": self.subject.artifact, "path": str(path), "note": self.failure}
        return records.Artifact(**row, parity=None, audit=recorded(self.audit) if self.audit else None)

    def model(self) -> records.Model:
        """The record's notes on the model in the file."""
        notes, stem = self.notes, self.subject.path.stem
        sizes = tuple(self.shape[1:])
        return records.Model(notes.get("vitc.name", stem), notes.get("vitc.weights_sha256", "unknown"), sizes)


def _described(subject: Subject, bench: Bench) -> _Described:
    """Found out in a process of its own: what cannot be loaded may take its process down with it."""
    with Worker(Serving, [asdict(bench.load(subject))]) as worker:
        try:
            told = worker.ask("describe")
        except UserError as failure:
            raise UserError(f"{subject.artifact}: {failure}") from failure
        except VerificationFailed as failure:
            return _Described(subject, failure=str(failure))
    found = told.pop("audit")
    return _Described(subject, **told, audit=found and AuditResult(**found))


def _check_shapes(shapes: Shapes, found: Sequence[_Described]) -> None:
    """Refuse shapes of inputs that no file has."""
    known = sorted({name for one in found for name in one.inputs})
    for name in shapes:
        if name not in known and all(not one.failure for one in found):
            raise UserError(f"--shape names {name}, which no file takes; allowed: {', '.join(known) or 'nothing'}")
