"""Images in any order, as training takes them."""

from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True)
class Part:
    """Some of the images, `size` at a time."""

    whole: Indexed
    places: Sequence[int]
    size: int

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, self.count, self.size):
            yield self.at(range(start, min(start + self.size, self.count)))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.places)

    def at(self, places: Sequence[int]) -> Tensor:
        """The images at these places of the part."""
        return self.whole.at([self.places[place] for place in places])


def indexed(batches: Batches) -> Indexed:
    """The images of some batches in any order: from where they lie if that can be, else from memory."""
    return batches if isinstance(batches, Indexed) else Held(torch.cat(list(batches)))
