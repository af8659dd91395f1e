"""Finished runs, read back from their folders: the record, and every answer."""

import io
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import UserError
from .reports import record as records
from .reports.related import kind

RECORD, PREDICTIONS, REPORT, PAGE = "record.json", "predictions.npz", "report.md", "report.html"
"""What a run leaves in its folder beside the artifacts."""
IMAGES, LABELS, CLASSES = "images", "labels", "classes"
"""What stands beside the answers in PREDICTIONS; the names of the classes only where somebody gave them."""


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path

    @cached_property
    def record(self) -> records.Record:
        """What the run found."""
        path = self.folder / RECORD
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as failure:
            raise UserError(f"cannot read {path}: {failure.strerror}; give the folder of a finished run") from failure
        except UnicodeDecodeError:
            raise UserError(f"{path} is not a text; give the folder of a finished run") from None
        return records.from_json(text, str(path))

    @property
    def names(self) -> list[str]:
        """The measured artifacts."""
        return list(dict.fromkeys(one.artifact for one in self.record.measurements))

    def row(self, artifact: str) -> records.Artifact:
        """What the record says of an artifact."""
        return next(one for one in self.record.artifacts if one.name == artifact)

    def asked(self) -> dict[tuple[str, str], records.Measurement]:
        """What the run was asked for, by target and engine: neither the untouched model, nor a step, nor a rival."""
        rows = [(self.row(one.artifact), one) for one in self.record.measurements]
        return {(row.format, one.runtime): one for row, one in rows if kind(row) == "final"}

    @cached_property
    def answers(self) -> dict[str, NDArray[np.int64]]:
        """The likeliest classes of each image by each measured artifact, beside LABELS and IMAGES; or none."""
        path = self.folder / PREDICTIONS
        if not path.is_file():
            return {}
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
                return dict(kept)
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as failure:
            raise UserError(f"{path} cannot be read ({failure}); make the run again") from failure

    def answers_of(self, one: records.Measurement) -> NDArray[np.int64] | None:
        """Those of one artifact on one engine, where they were kept."""
        return self.answers.get(f"{one.artifact} {one.runtime}") if LABELS in self.answers else None
