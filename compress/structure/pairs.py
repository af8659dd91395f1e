"""Where neurons can go: two layers with nothing between them but an activation that looks at one number at a time.

A neuron is a row of the first layer's weight and a column of the second's. Nobody else sees it, so nobody else changes
when it goes: no shape in the program depends on how many there are.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch.fx import GraphModule, Node

from ..channels import rank_of, value_readers
from ..graph import arguments, as_node, aten, channel_axis, find_sites, is_grouped, layer, tensor
from ..parameters import has_own_weight

ELEMENTWISE = frozenset(
    {
        aten.gelu.default,
        aten.relu.default,
        aten.relu_.default,
        aten.relu6.default,
        aten.silu.default,
        aten.silu_.default,
        aten.mish.default,
        aten.elu.default,
        aten.leaky_relu.default,
        aten.leaky_relu_.default,
        aten.hardswish.default,
        aten.hardswish_.default,
        aten.hardtanh.default,
        aten.hardtanh_.default,
        aten.sigmoid.default,
        aten.tanh.default,
        aten.dropout.default,
        aten.clone.default,
        aten.contiguous.default,
    }
)
"""What gives each number by itself, or leaves it."""


@dataclass(frozen=True)
class Pair:
    """Two layers, the second of which alone reads what the first gives."""

    writer: Node
    """Its rows are the neurons."""
    reader: Node
    """Its columns are."""
    width: int
    heads: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """What the neurons are called: by the layer that gives them."""
        return layer(self.writer)

    @property
    def hidden(self) -> Node:
        """What the neurons give, past the activation."""
        return as_node(self.reader.args[0])


def find_pairs(program: GraphModule) -> list[Pair]:
    """The pairs of a program, in the order in which they run."""
    sites = find_sites(program)
    found = ((site, _only_reader(site)) for site in sites if _can_write(program, site))
    return [
        Pair(writer, reader, len(tensor(program, as_node(writer.args[1]))))
        for writer, reader in found
        if reader in sites and _can_read(program, writer, reader)
    ]


def _only_reader(writer: Node) -> Node | None:
    """What reads a layer's output past the activations, if it is one node."""
    node = writer
    while len(readers := value_readers(node)) == 1:
        (node,) = readers
        if node.target not in ELEMENTWISE:
            return node
    return None


def _can_write(program: GraphModule, site: Node) -> bool:
    return not is_grouped(site) and has_own_weight(program, site)


def _can_read(program: GraphModule, writer: Node, reader: Node) -> bool:
    """Whether a layer reads neurons along the axis they are given on, each at one place."""
    same_axis = channel_axis(writer) % rank_of(writer) == channel_axis(reader) % rank_of(reader)
    return _can_write(program, reader) and same_axis and _is_pointwise(program, reader)


def _is_pointwise(program: GraphModule, site: Node) -> bool:
    """Whether each output sees one place of the input."""
    if site.target is aten.linear.default:
        return True
    kernel = tensor(program, as_node(site.args[1])).shape[2:]
    return set(kernel) == {1} and not any(arguments(site)[4])
