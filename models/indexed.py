"""Images in any order, as training takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from .data import Batches


@runtime_checkable
class Indexed(Protocol):
    """Normalized images that can be had in any order."""

    @property
    def count(self) -> int:
        """How many there are."""

    def at(self, places: Sequence[int]) -> Tensor:
        """The images at these places."""


@dataclass(frozen=True)
class Held:
    """Images in memory."""

    images: Tensor

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.images)

    def at(self, places: Sequence[int]) -> Tensor:
        """The images at these places."""
        return self.images[list(places)]


def indexed(batches: Batches) -> Indexed:
    """The images of some batches in any order: from where they lie if that can be, else from memory."""
    return batches if isinstance(batches, Indexed) else Held(torch.cat(list(batches)))
