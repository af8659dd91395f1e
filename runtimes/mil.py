"""The Core ML reference interpreter: runs a saved package's MIL program in torch, on any system.

It tells what a package answers: its accuracy, and its parity with the simulation. Its time says nothing about a device,
and neither do the last bits: what the Neural Engine rounds on its way is not in the file. torch is imported when a
session opens, not with this module.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from . import mil_package

if TYPE_CHECKING:
    from torch import Tensor

NAME = "coreml-reference"
missing = mil_package.missing
_HALF = "_cast_fp16"


class MilSession:
    """A loaded package; a context manager, and `run(images) -> logits`."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._package = mil_package.open_package(path)
        self.input_shape, self.metadata = self._package.input_shape, self._package.metadata
        from .mil_plan import Plan

        self._plan = Plan(mil_package.main_function(self._package), self._package.output)
        self._threads = threads

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        del self._plan

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits of a batch of the package's own size; prepared images, also for an image input."""
        return self._run(images, None).reshape(len(images), -1)

    def values(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """What is computed on the way to a batch's logits, by the names of the program."""
        seen: dict[str, NDArray[np.float32]] = {}
        self._run(images, lambda name, value: seen.update({name: value.float().numpy()}))
        return seen

    def _run(self, images: NDArray[np.float32], note: Callable[[str, "Tensor"], object] | None) -> NDArray[np.float32]:
        import torch

        fed = self._package.pixels(images) if self._package.image else images
        with _threads(self._threads):
            result = self._plan.run(torch.from_numpy(np.ascontiguousarray(fed)), note)
        logits: NDArray[np.float32] = result.numpy()
        return logits


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """So many threads for torch, which has one number for the whole process."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def values(path: Path, images: NDArray[np.float32], names: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """What the package computes under those of the names that it has; of other batches than its own nothing is known.

    The converter marks the values that it makes 16-bit floats at the end of their names.
    """
    with MilSession(path) as session:
        if session.input_shape[0] not in (None, len(images)):
            return {}
        seen = {name.removesuffix(_HALF): value for name, value in session.values(images).items()}
    return {name: seen[name] for name in names if name in seen}
