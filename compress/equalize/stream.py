"""The residual streams of a program: what writes them, what reads them, and what does not let them be rotated.

A stream is a sum that blocks add to, together with all that adds and concatenations tie to it. A rotation of its
channels reaches everything that writes it or reads it; whatever can take none up in its weights is an obstacle.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch.fx import GraphModule, Node

from ..graph import arguments, as_node, aten, channel_axis, is_grouped, is_own
from ..parameters import has_own_weight
from .labels import Labels, Reading, origin
from .places import reads_channels

NORM, ADD, CAT, SCALE = aten.layer_norm.default, aten.add.Tensor, aten.cat.default, aten.mul.Tensor
LINEAR = aten.linear.default
WRITERS = (LINEAR, aten.conv2d.default)


@dataclass
class Stream:
    """One residual stream, as far as it was followed."""

    width: int
    joins: list[Node] = field(default_factory=list)
    """The sums and concatenations."""
    writers: list[Node] = field(default_factory=list)
    """Linears and convolutions."""
    parameters: list[Node] = field(default_factory=list)
    """Class tokens and position embeddings."""
    scales: dict[Node, Node] = field(default_factory=dict)
    """Products of a writer and a constant for each channel, and that writer."""
    norms: dict[Node, list[Node]] = field(default_factory=dict)
    """Layer norms of the stream, and the linears that read them."""
    readers: list[Node] = field(default_factory=list)
    """Linears that read the stream itself."""
    obstacles: list[Node] = field(default_factory=list)

    @property
    def is_residual(self) -> bool:
        """Whether values are added to values in it, and not only a position embedding."""
        sums = (join for join in self.joins if join.target is ADD)
        return any(all(isinstance(arg, Node) and arg.op != "get_attr" for arg in join.args[:2]) for join in sums)


def find_streams(program: GraphModule) -> list[Stream]:
    """The residual streams that layer norms read, each from the first of its layer norms on."""
    labels = Labels(program)
    streams: list[Stream] = []
    for norm in program.graph.find_nodes(op="call_function", target=NORM):
        if len(arguments(norm)[1]) == 1 and not any(norm in stream.norms for stream in streams):
            search = Search(program, labels, Stream(arguments(norm)[1][0]))
            search.spread(origin(as_node(norm.args[0])))
            streams.append(search.stream)
    return [stream for stream in streams if stream.is_residual]


@dataclass
class Search:
    """Follows one stream from node to node, both ways."""

    program: GraphModule
    labels: Labels
    stream: Stream

    def spread(self, first: Node) -> None:
        """Sort everything that the stream is tied to."""
        found, waiting = {first}, [first]
        while waiting:
            for node in self._tied(waiting.pop()):
                if node not in found:
                    found.add(node)
                    waiting.append(node)

    def _tied(self, node: Node) -> list[Node]:
        """What is of the same stream as one node of it."""
        before = self._before(node)
        if before is None:
            self.stream.obstacles.append(node)
            return []
        axis = channel_axis(node) if node.target in WRITERS else -1
        return [*before, *self._after(self.labels.readings(node, axis))]

    def _before(self, node: Node) -> list[Node] | None:
        """Sort a node that writes the stream, and say what of the stream it reads; None if it cannot be rotated."""
        if self._joins(node):
            self.stream.joins.append(node)
            return [origin(read) for read in node.all_input_nodes]
        if node.op == "get_attr" and is_own(self.program, node):
            self.stream.parameters.append(node)
            return []
        if self._writes(node):
            self.stream.writers.append(node)
            return []
        writer = self._scaled(node)
        if writer:
            self.stream.scales[node] = writer
            self.stream.writers.append(writer)
            return []
        return None

    def _after(self, readings: Iterable[Reading]) -> list[Node]:
        """Sort what reads the stream, and say which of it belongs to the stream."""
        tied = []
        for reading in readings:
            reader = reading.reader
            if not self._in_order(reading):
                self.stream.obstacles.append(reader)
            elif self._joins(reader):
                tied.append(reader)
            elif reads_channels(self.program, reading):
                self.stream.readers.append(reader)
            elif not self._normalizes(reading):
                self.stream.obstacles.append(reader)
        return tied

    def _normalizes(self, reading: Reading) -> bool:
        """Whether what reads is a layer norm whose readers can take up both its weights and a rotation; note it."""
        norm = reading.reader
        if norm.target is not NORM or norm.args[0] is not reading.source:
            return False
        weights = [weight for weight in arguments(norm)[2:4] if weight is not None]
        readings = self.labels.readings(norm)
        self.stream.norms[norm] = [reading.reader for reading in readings]
        return all(is_own(self.program, weight) for weight in weights) and all(
            reads_channels(self.program, reading) and self._in_order(reading) for reading in readings
        )

    def _in_order(self, reading: Reading) -> bool:
        """Whether all channels of the stream arrive as they were, on the last axis."""
        columns = reading.columns()
        return columns is not None and torch.equal(columns, torch.arange(1, self.stream.width + 1))

    def _joins(self, node: Node) -> bool:
        """Whether a node is a sum, or a concatenation of tokens."""
        rank = len(self.labels.known.get(node, ()))
        return node.target is ADD or (node.target is CAT and arguments(node)[1] % rank != rank - 1)

    def _writes(self, node: Node) -> bool:
        """Whether a node is a linear or an ungrouped convolution that can be given other weights."""
        return node.target in WRITERS and has_own_weight(self.program, node) and not is_grouped(node)

    def _scaled(self, node: Node) -> Node | None:
        """The linear that a node multiplies by a constant for each channel (layer scale), if nothing else reads it."""
        if node.target is not SCALE or len(node.all_input_nodes) < 2:
            return None
        product, factor = factors(node)
        writer, shape = origin(product), self.labels.known[factor]
        each = shape.numel() == self.stream.width == shape[-1]
        if not (each and is_own(self.program, factor) and writer.target is LINEAR and self._writes(writer)):
            return None
        readings = self.labels.readings(writer)
        alone = len(readings) == 1 and readings[0].reader is node and self._in_order(readings[0])
        return writer if alone else None


def factors(product: Node) -> tuple[Node, Node]:
    """What a product of two nodes multiplies, the constant last if one of them is."""
    one, other = product.all_input_nodes
    return (other, one) if one.op == "get_attr" else (one, other)
