"""Where channels go: labels sent through the operators that move values about, and what comes of them at the readers.

A label is the number of a channel, counted from one. What arrives at a reader says which channel each of its values
belongs to, whatever reshaping and splitting lies between; zero is what padding filled in.
"""

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.node import map_arg

from ...models.program import EXAMPLE_BATCH
from ..graph import VIEWS, arguments, aten

PADS = frozenset({aten.pad.default, aten.constant_pad_nd.default})
MOVERS: frozenset[object] = VIEWS | frozenset(
    {
        operator.getitem,
        aten.alias.default,
        aten.chunk.default,
        aten.detach.default,
        aten.expand.default,
        aten.movedim.int,
        aten.movedim.intlist,
        aten.mean.dim,
        aten.narrow.default,
        aten.split.Tensor,
        aten.split.sizes,
        aten.split_with_sizes.default,
        aten.squeeze.dim,
        aten.squeeze.dims,
        aten.unbind.int,
        aten.unflatten.int,
        aten.unsqueeze.default,
    }
)
"""What an affine map of each channel passes through; a mean is one too, where it mixes no channels."""


@dataclass(frozen=True)
class Reading:
    """Something that reads labelled values and does more than move them."""

    reader: Node
    source: Node
    """The node that it reads."""
    labels: Tensor
    """The labels as it reads them."""

    def columns(self) -> Tensor | None:
        """The label of each index of the last axis; None where it differs from row to row. Padding has any label."""
        rows = self.labels.flatten(0, -2) if self.labels.dim() > 1 else self.labels[None]
        columns = rows.amax(0)
        same = bool(((rows == columns) | (rows == 0)).all() and columns.all())
        return columns.long() if same else None

    @property
    def padded(self) -> bool:
        """Whether some of what is read was filled in."""
        return bool((self.labels == 0).any())


class Labels(Interpreter):
    """The sizes of everything in a program, seen by running it once; with them, labels can be sent anywhere."""

    def __init__(self, program: GraphModule) -> None:
        super().__init__(program)
        self.known: dict[Node, Any] = {}
        """The shape of every tensor, and the numbers that are not tensors."""
        with torch.inference_mode():
            self.run(*(_example(node) for node in program.graph.find_nodes(op="placeholder")))

    def run_node(self, n: Node) -> Any:
        """The node's result; its shape is noted."""
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.known[n] = result.shape
        elif isinstance(result, int | float):
            self.known[n] = result
        return result

    def readings(self, origin: Node, axis: int = -1) -> list[Reading]:
        """What reads the values of `origin` in the end, with the labels of its channels along `axis`."""
        shape = self.known[origin]
        numbers = torch.arange(1, shape[axis] + 1, dtype=torch.float64)
        across = [1] * len(shape)
        across[axis] = -1
        return list(self.follow(origin, numbers.view(across).expand(shape)))

    def follow(self, node: Node, labels: Any) -> Iterator[Reading]:
        """What reads a node that holds these labels, past everything that moves them."""
        for user in node.users:
            if user.target is aten.sym_size.int:
                continue
            moved = self._moved(user, node, labels)
            if moved is not None:
                yield from self.follow(user, moved)
            else:
                whole = labels if isinstance(labels, Tensor) else torch.cat([part.flatten() for part in labels])
                yield Reading(user, node, whole)

    def _moved(self, mover: Node, node: Node, labels: Any) -> Any:
        """The labels past an operator; None where it does not just move them."""
        others = [other for other in mover.all_input_nodes if other is not node]
        numbers = all(isinstance(self.known.get(other), int | float) for other in others)
        if not (moves(mover) and mover.args[0] is node and numbers):
            return None
        args, kwargs = map_arg((mover.args, mover.kwargs), lambda n: labels if n is node else self.known[n])
        operate: Any = mover.target
        if operate is aten.mean.dim:
            averaged = labels.amax(args[1], keepdim=True) if args[1] else labels.amax()
            if not bool(((labels == averaged) & (labels != 0)).all()):
                return None
        return operate(*args, **kwargs)


def moves(node: Node) -> bool:
    """Whether an operator moves values about and nothing else: no dropout that drops, no padding but zeros."""
    if node.target is aten.dropout.default:
        _, probability, training = arguments(node)
        return not (probability and training)
    if node.target is aten.pad.default:
        return not arguments(node)[3]
    if node.target is aten.constant_pad_nd.default:
        return bool(arguments(node)[2] == 0)
    return node.target in MOVERS


def origin(node: Node) -> Node:
    """The node whose values a node holds, before they were moved about."""
    while moves(node):
        node = node.all_input_nodes[0]
    return node


def _example(placeholder: Node) -> Tensor:
    """Zeros of the shape that an input was traced with, and a batch where the shape is free."""
    shape = placeholder.meta["val"].shape
    return torch.zeros([size if isinstance(size, int) else EXAMPLE_BATCH for size in shape])
