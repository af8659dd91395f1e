"""What is known of neurons: their means, and how they vary together, whatever the images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.nn import functional

from ...models.data import Batches
from ..graph import aten
from ..observe import check_finite, watch
from .pairs import Pair

BATCH = 16
"""Images that are run together, however they come: sums are then the same."""
POSITIONS = 256
"""Places of an image that count, at most, evenly spaced."""


@dataclass
class Hidden:
    """Second moments of some neurons: sums over rows in double precision, the last of each belonging to the ones."""

    sums: Tensor
    rows: int = 0

    @classmethod
    def empty(cls, width: int) -> "Hidden":
        """Of `width` neurons, before any row."""
        return cls(torch.zeros(width + 1, width + 1, dtype=torch.float64))

    def add(self, rows: Tensor) -> None:
        """Take in rows [R, K]."""
        check_finite(*rows.aminmax())
        ones = functional.pad(rows.double(), (0, 1), value=1.0)
        self.sums += ones.t() @ ones
        self.rows += len(rows)

    @property
    def mean(self) -> Tensor:
        """Of each neuron, [K]."""
        return self.sums[-1, :-1] / self.rows

    @property
    def covariance(self) -> Tensor:
        """Of each two, [K, K]."""
        return self.sums[:-1, :-1] / self.rows - torch.outer(self.mean, self.mean)


def observe_hidden(program: GraphModule, pairs: Sequence[Pair], batches: Batches) -> list[Hidden]:
    """The moments of what each pair's neurons give, in one pass over the images."""
    found = [Hidden.empty(pair.width) for pair in pairs]
    looks = {
        pair.hidden: lambda x, _, pair=pair, one=one: one.add(rows_of(pair, x))
        for pair, one in zip(pairs, found, strict=True)
    }
    watch(program, looks, rebatched(batches, BATCH))
    return found


def rows_of(pair: Pair, x: Tensor) -> Tensor:
    """The neurons at evenly spaced places of each image, [R, K]."""
    if pair.reader.target is aten.conv2d.default:
        x = x.movedim(1, -1)
    places = x.reshape(len(x), -1, x.shape[-1])
    count = min(places.shape[1], POSITIONS)
    return places[:, torch.arange(count) * places.shape[1] // count].flatten(0, 1)


def rebatched(batches: Batches, size: int) -> Iterator[Tensor]:
    """The same images, `size` at a time."""
    left: list[Tensor] = []
    for batch in batches:
        left += batch.unbind()
        while len(left) >= size:
            yield torch.stack(left[:size])
            left = left[size:]
    if left:
        yield torch.stack(left)
