"""What layers and attention products read, rounded: its range is calibrated, and the rounding put into the program."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from ..models.data import Batches
from .attention import find_products, operands, ranges_of
from .draft import Draft
from .graph import as_node, find_sites, is_grouped
from .logarithmic import SEARCHES
from .observe import observe
from .placing import round_along, round_input, round_softmax
from .ranges import Along, Range, Whole, calibrate, calibrate_axis

UNIFORM = "uniform"
"""The grid of a softmax that targets can express; the others are in `logarithmic`."""
ROWS = 256
"""Of a softmax, by which a logarithmic grid is chosen."""
VALUES = 8
"""Bits of the values that a softmax of one bit weighs."""
SIGNED = "symmetric"
"""The scheme of what attention multiplies but shares, whoever multiplies it."""
HEADS = CHANNELS = 1
"""The axis of attention's heads, and that of a convolution's channels."""
HEADED = 4
"""Axes of a tensor that has one for heads."""


@dataclass(frozen=True)
class Inputs:
    """How the inputs of a draft are rounded."""

    draft: Draft
    batches: Batches
    ranges: str
    """By which method they are chosen."""
    axiswise: bool
    """A range for every channel of what only depthwise convolutions read, and for every head of attention."""

    def of_layers(self) -> None:
        """Round every tensor that layers read, once for those that want the same bits."""
        readers: dict[tuple[Node, int], list[Node]] = {}
        for site in find_sites(self.draft.program):
            if bits := self.draft.bits_of(site):
                readers.setdefault((as_node(site.args[0]), bits.activation), []).append(site)
        for width in sorted({width for _, width in readers}):
            wanted = {source: those for (source, bits), those in readers.items() if bits == width}
            apart = [source for source, those in wanted.items() if self.axiswise and all(map(is_grouped, those))]
            self._along(dict.fromkeys(apart, CHANNELS), wanted, width, self.draft.scheme)
            for source, seen in self._calibrated(wanted.keys() - set(apart), width).items():
                round_input(source, wanted[source], seen, width, self.draft.scheme)

    def of_values(self) -> None:
        """Round the values that are weighed with one bit: whole tensors, and signed, as engines multiply bytes."""
        program = self.draft.program
        values = [operand.node for operand in operands(program) if operand.role == "value"]
        for node, seen in calibrate(
            program, dict.fromkeys(values, Whole(VALUES)), self.batches, self.ranges, SIGNED
        ).items():
            readers = [product for product in find_products(program) if node in product.args]
            round_input(node, readers, seen, VALUES, SIGNED)

    def of_products(self, bits: int, softmax: str) -> None:
        """Round every tensor that attention products read: all but the softmax signed, as is fastest on engines."""
        program = self.draft.program
        roles = {operand.node: operand.role for operand in operands(program)}
        readers = {node: [one for one in find_products(program) if node in one.args] for node in roles}
        schemes = {node: self.draft.scheme if role == "softmax" else SIGNED for node, role in roles.items()}
        heads = [node for node in roles if self.axiswise and node.meta["val"].dim() == HEADED]
        seen = {node: (found.low, found.high) for node, found in self._calibrated(set(roles), bits).items()}
        limits = ranges_of(program, seen)
        apart = [node for node, role in roles.items() if role == "softmax" and softmax != UNIFORM]
        for scheme in dict.fromkeys(schemes.values()):
            those = [node for node in heads if schemes[node] == scheme and node not in apart]
            self._along(dict.fromkeys(those, HEADS), readers, bits, scheme)
        for node, found in observe(program, dict.fromkeys(apart, -1), self.batches, rows=ROWS).items():
            round_softmax(node, readers[node], SEARCHES[softmax](found.rows, bits))
        for node in (node for node in roles if node not in {*heads, *apart}):
            round_input(node, readers[node], Range(*limits[node]), bits, schemes[node])

    def _calibrated(self, sources: AbstractSet[Node], bits: int) -> dict[Node, Range]:
        """A range for each tensor as a whole, in the order of the program."""
        ordered = {node: Whole(bits, self._weights(node)) for node in self.draft.program.graph.nodes if node in sources}
        return calibrate(self.draft.program, ordered, self.batches, self.ranges, self.draft.scheme)

    def _weights(self, source: Node) -> Tensor | None:
        """How much a tensor's positions matter to those that read it."""
        found = [self.draft.weights[reader] for reader in source.users if reader in self.draft.weights]
        return torch.stack(found).sum(0) if found else None

    def _along(self, axes: Mapping[Node, int], readers: Mapping[Node, list[Node]], bits: int, scheme: str) -> None:
        """Round each tensor by a range for every index of its axis."""
        if axes:
            sources = {node: Along(axis, bits) for node, axis in axes.items()}
            found = calibrate_axis(self.draft.program, sources, self.batches, self.ranges, scheme)
            for node, ranges in found.items():
                round_along(node, readers[node], ranges, sources[node], scheme)
