"""Core ML itself, on macOS, through coremltools.

All compute units are allowed: which one runs an operation is Core ML's choice.
"""

import platform
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import libraries
from ..errors import NotAvailable
from . import mil_package

NAME = "coreml"


def missing() -> str | None:
    """Why this engine cannot run here."""
    if platform.system() != "Darwin":
        return "Core ML runs on macOS only: copy the package to a Mac, or use the runtime coreml-reference"
    return mil_package.missing()


class CoreMLSession:
    """A loaded package; a context manager, and `run(images) -> logits`."""

    def __init__(self, path: Path, threads: int | None = None) -> None:  # noqa: ARG002  (Core ML takes no number)
        if problem := missing():
            raise NotAvailable(problem)
        self._package = mil_package.open_package(path)
        self.input_shape, self.metadata = self._package.input_shape, self._package.metadata
        coremltools = libraries.coremltools()
        with mil_package.named_failures(path):
            self._model = coremltools.models.MLModel(str(path), compute_units=coremltools.ComputeUnit.ALL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        del self._model

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits of a batch of the package's own size; prepared images, also for an image input."""
        with mil_package.named_failures(self._package.path, "run"):
            answer = self._model.predict({self._package.input: self._fed(images)})
        return np.asarray(answer[self._package.output], dtype=np.float32).reshape(len(images), -1)

    def _fed(self, images: NDArray[np.float32]) -> Any:
        """What `predict` takes: a tensor, or a picture."""
        if not self._package.image:
            return images
        from PIL import Image

        pixels = self._package.pixels(images)[0].astype(np.uint8)
        return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
