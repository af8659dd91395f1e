"""One pass over the calibration images that notes what some nodes of a program hold.

What is noted depends on the images alone: not on how they were batched, nor, in memory, on how many there are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from ..errors import UserError
from ..models.data import Batches

SAMPLED_IMAGES = 64
"""Sample rows are taken from this many images, the first."""

Look = Callable[[Tensor, int], None]
"""Told the values of a node for one batch, and how many images that batch has."""


@dataclass
class Seen:
    """What a node was seen to hold along its channels."""

    low: Tensor
    """The least value of each channel, [C]."""
    high: Tensor
    """The greatest, [C]."""
    rows: Tensor
    """Samples, [R, C]: the channels at some positions of some images."""


def watch(program: GraphModule, looks: Mapping[Node, Look], batches: Batches) -> None:
    """Run the program on every batch and show the nodes' values to their `looks` as they are made."""
    watcher = _Watcher(program, looks)
    images = 0
    with torch.inference_mode():
        for batch in batches:
            watcher.images = len(batch)
            watcher.run(batch)
            images += len(batch)
    if not images:
        raise UserError("no images to calibrate with; give at least one")


def observe(program: GraphModule, axes: Mapping[Node, int], batches: Batches, rows: int = 0) -> dict[Node, Seen]:
    """The extremes of each node's channels, which lie along its axis in `axes`, and up to `rows` samples of them.

    Samples are evenly spaced positions of the first images, equally many from each: with fewer images, or in small
    tensors, there are fewer.
    """
    notes = {node: _Notes(axis, rows) for node, axis in axes.items()}
    watch(program, {node: note.add for node, note in notes.items()}, batches)
    return {node: note.seen() for node, note in notes.items()}


def check_finite(*extremes: Tensor) -> None:
    """Refuse values that no range can hold, told by their extremes."""
    if not all(bool(extreme.isfinite().all()) for extreme in extremes):
        raise UserError("calibration met values that are not finite; check the weights and the calibration images")


class _Watcher(Interpreter):
    """Runs a program, forgetting values as soon as nothing will read them."""

    def __init__(self, program: GraphModule, looks: Mapping[Node, Look]) -> None:
        super().__init__(program)
        self.looks = looks
        self.images = 0

    def run_node(self, n: Node) -> object:
        """The node's result, shown to who looks at it."""
        result = super().run_node(n)
        if n in self.looks:
            assert isinstance(result, Tensor)
            self.looks[n](result, self.images)
        return result


class _Notes:
    """The extremes of a node's channels so far, and its samples."""

    def __init__(self, axis: int, rows: int) -> None:
        self.axis = axis
        self.images = min(rows, SAMPLED_IMAGES)
        """From how many more images samples are taken."""
        self.positions = rows // self.images if self.images else 0
        """How many from each."""
        self.low = self.high = torch.empty(0)
        self.rows: list[Tensor] = []

    def add(self, values: Tensor, images: int) -> None:
        """Take in the values of one batch."""
        channels_last = values.movedim(self.axis, -1)
        others = tuple(range(channels_last.dim() - 1))
        low, high = channels_last.amin(others), channels_last.amax(others)
        check_finite(low, high)
        first = not len(self.low)
        self.low = low if first else torch.minimum(self.low, low)
        self.high = high if first else torch.maximum(self.high, high)
        if self.images:
            self._sample(channels_last, images)

    def _sample(self, channels_last: Tensor, images: int) -> None:
        """Take rows from as many of the images as are still wanted. What was cut into windows lies image by image."""
        each = channels_last.reshape(images, -1, channels_last.shape[-1])[: self.images]
        count = min(self.positions, each.shape[1])
        spread = (torch.arange(count) * 2 + 1) * each.shape[1] // (2 * count)  # the middles of `count` equal parts
        self.rows.append(each[:, spread].flatten(0, 1))
        self.images -= len(each)

    def seen(self) -> Seen:
        """What was noted."""
        rows = torch.cat(self.rows) if self.rows else self.low.new_empty(0, len(self.low))
        return Seen(self.low.clone(), self.high.clone(), rows.clone())
