"""Accuracy on the scored images: of the torch program and of every artifact, with the answers kept image by image."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .atomic import replacing
from .models.decode import Pixels
from .progress import Advance
from .runtimes import accuracy

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
BATCH = 32


@dataclass(frozen=True)
class Score:
    """The images, and where the answers of each scored thing are kept until they are gathered."""

    pixels: Pixels | None
    folder: Path

    @property
    def images(self) -> int:
        """How many are scored."""
        return len(self.pixels) if self.pixels is not None else 0

    def identity(self) -> dict[str, Any]:
        """What a score depends on besides the model."""
        return {"scored": self._digest}

    def outputs(self, name: str) -> list[Path]:
        """The file with the answers of `name`; none where nothing is scored."""
        return [self.folder / f"{name.replace('/', '-').replace(' ', '-')}.npy"] if self.pixels is not None else []

    def score(self, name: str, run: Run, advance: Advance) -> dict[str, Any]:
        """Top-1 and top-5 in percent; the five likeliest classes of each image go to the file."""
        if self.pixels is None or self.pixels.labels is None:
            return {"top1": None, "top5": None, "images": 0}
        predictions = accuracy.predict(run, self.pixels.batches(BATCH), advance)
        content = io.BytesIO()
        np.save(content, predictions.top5, allow_pickle=False)
        _write(self.outputs(name)[0], content)
        top1, top5 = (accuracy.top_k(predictions, self.pixels.labels, k) for k in (1, 5))
        return {"top1": top1, "top5": top5, "images": len(self.pixels)}

    def correct(self, name: str) -> NDArray[np.bool_]:
        """Which images `name` gave their label."""
        assert self.pixels is not None
        top5 = np.load(self.outputs(name)[0], allow_pickle=False)
        return np.asarray(top5[:, 0] == self.pixels.labels)

    def gather(self, names: Sequence[str], into: Path, classes: Sequence[str] = ()) -> None:
        """All answers in one file: an array a scored thing, beside the labels, the images' names and the classes'."""
        if self.pixels is None or self.pixels.labels is None:
            return
        answers = {name: np.load(self.outputs(name)[0], allow_pickle=False) for name in names}
        if classes:
            answers["classes"] = np.array(classes, np.str_)
        content = io.BytesIO()
        np.savez_compressed(content, labels=self.pixels.labels, images=np.array(self.pixels.kept), **answers)
        _write(into, content)

    @cached_property
    def _digest(self) -> str | None:
        return self.pixels.digest() if self.pixels is not None else None


def _write(path: Path, content: io.BytesIO) -> None:
    """Made in memory first: where the disk is full numpy says how much it wrote, a plain write says why."""
    with replacing(path) as partial:
        partial.write_bytes(content.getbuffer())
