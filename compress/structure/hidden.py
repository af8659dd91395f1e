"""What is known of neurons: their means, and how they vary together, whatever the images."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.fx import GraphModule

from ...models.data import Batches
from ..graph import as_node, tensor
from ..moments import Moments
from ..observe import check_finite, watch
from ..round_layers import rows_of
from .pairs import Pair

BATCH = 16
"""Images that are run together, however they come: sums are then the same."""


def observe_hidden(program: GraphModule, pairs: Sequence[Pair], batches: Batches) -> list[Moments]:
    """The moments of what each pair's neurons give, in one pass over the images."""
    found = [Moments.empty(pair.width) for pair in pairs]

    def add(x: Tensor, pair: Pair, moments: Moments) -> None:
        check_finite(*x.aminmax())
        moments.add(rows_of(pair.reader, x, tensor(program, as_node(pair.reader.args[1]))).double())

    looks = {
        pair.hidden: lambda x, _, pair=pair, one=one: add(x, pair, one) for pair, one in zip(pairs, found, strict=True)
    }
    watch(program, looks, rebatched(batches, BATCH))
    return found


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
