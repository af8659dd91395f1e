"""Files that are exported already, measured against each other on this machine."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from .bench import Bench, Subject, measurement
from .checks import recorded
from .errors import UserError
from .export.artifact import artifact
from .progress import Progress
from .reports import record as records
from .runtimes import RUNTIMES, Session, machine
from .runtimes.audit import audit
from .versions import PACKAGES, VERSION

ENGINES = {".onnx": "onnxruntime", ".xml": "openvino"}
"""The engine that serves a file, by how its name ends."""
UNSCORED = {"top1": None, "top5": None, "images": 0}


def profile(
    files: Sequence[str | Path], bench: Bench | None = None, *, progress: Progress | None = None, command: str = ""
) -> records.Record:
    """Latency, memory and executed precision of each file; the first is what the others are held against."""
    paths = _distinct([Path(file) for file in files])
    here = machine.describe(PACKAGES)
    bench = bench or Bench(here.cores)
    subjects = [Subject(str(path), path, _engine(path), str(paths[0])) for path in paths]
    started = datetime.now(UTC).isoformat(timespec="seconds")
    rows = [_described(subject) for subject in subjects]
    return records.Record(
        vitc=VERSION,
        command=command,
        seed=bench.seed,
        started=started,
        recipe={},
        machine=records.Machine(**asdict(here)),
        model=rows[0][1],
        data=None,
        calibration=None,
        stages=(),
        artifacts=tuple(row for row, _ in rows),
        measurements=tuple(measurement(row, UNSCORED) for row in bench.measure(subjects, progress or Progress())),
    )


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
    return ENGINES[path.suffix]


def _described(subject: Subject) -> tuple[records.Artifact, records.Model]:
    """What the file says of itself, and what its engine runs of it."""
    runtime = RUNTIMES[subject.runtime]
    with runtime.open(subject.path, 1) as session:
        notes, shape, batch = session.metadata, _shape(session, subject), session.input_shape[0] or 1
    image = np.zeros((batch, *shape), dtype=np.float32)
    assert runtime.executed is not None  # every engine of ENGINES tells
    found = audit(runtime.executed(subject.path, image), runtime.promised(subject.path))
    made = artifact(notes.get("vitc.precision", "unknown"), subject.path.suffix[1:], subject.path)
    row = records.Artifact(
        **{**asdict(made), "name": subject.artifact, "path": str(subject.path)},
        parity=None,
        audit=recorded(found),
    )
    model = records.Model(notes.get("vitc.name", subject.path.stem), notes.get("vitc.weights_sha256", "unknown"), shape)
    return row, model


def _shape(session: Session, subject: Subject) -> tuple[int, ...]:
    """Channels, height and width that the file takes."""
    sizes = session.input_shape[1:]
    if len(sizes) != 3 or None in sizes:
        raise UserError(
            f"{subject.path} takes inputs of shape {session.input_shape}; export it with a fixed image size"
        )
    return tuple(size for size in sizes if size is not None)
