"""Branches of a program: what is computed from the stream of tokens, and added to it again."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile

from torch.fx import GraphModule, Node

from ..attention import find_products
from ..channels import is_changed, rank_of, value_readers
from ..graph import arguments, aten, channel_axis, find_sites, layer


@dataclass(frozen=True)
class Branch:
    """An addition of what was computed from one of its terms to that term."""

    name: str
    """What its layers are called in common."""
    add: Node
    stream: Node
    given: Node
    """What is added to the stream."""
    inside: tuple[Node, ...]
    """What is computed for it from the stream, in order."""
    axis: int
    """Where its channels lie, counted from the last axis."""
    attends: bool
    """Whether tokens see each other in it."""

    @property
    def term(self) -> int:
        """Which term of the addition the stream is."""
        return list(self.add.args).index(self.stream)


def find_branches(program: GraphModule) -> list[Branch]:
    """The branches of a program, in the order they run: those with layers of their own, and no branch inside."""
    sites, products = set(find_sites(program)), set(find_products(program))
    found: list[Branch] = []
    for add, stream, given, inside in _additions(program):
        layers = [node for node in inside if node in sites]
        if layers and not any(one.add in inside for one in found):
            axis = channel_axis(layers[-1]) % rank_of(add) - rank_of(add)
            attends = any(node in products for node in inside)
            found.append(Branch(_common([layer(node) for node in layers]), add, stream, given, inside, axis, attends))
    return found


def find_blocks(program: GraphModule) -> list[tuple[Branch, ...]]:
    """The blocks: a branch that attends, and the next one if it does not."""
    branches = find_branches(program)
    return [(one, other) for one, other in pairwise(branches) if one.attends and not other.attends]


def _additions(program: GraphModule) -> Iterator[tuple[Node, Node, Node, tuple[Node, ...]]]:
    """Every addition, the term that the other was computed from, the other, and what lies between."""
    nodes = list(program.graph.nodes)
    place = {node: at for at, node in enumerate(nodes)}
    before: dict[Node, int] = {}  # all that a node depends on, as bits
    for at, node in enumerate(nodes):
        before[node] = 1 << at
        for read in node.all_input_nodes:
            before[node] |= before[read]
        if node.target != aten.add.Tensor or len(node.all_input_nodes) != 2 or arguments(node)[2] != 1:
            continue
        for stream, given in (node.all_input_nodes, node.all_input_nodes[::-1]):
            if before[given] >> place[stream] & 1 and _is_private(node, stream, given):
                between = nodes[place[stream] + 1 : place[given] + 1]
                inside = (one for one in between if before[one] >> place[stream] & before[given] >> place[one] & 1)
                yield node, stream, given, tuple(inside)


def _is_private(add: Node, stream: Node, given: Node) -> bool:
    """Whether nobody else reads what is added, nothing is written in place, and the stream keeps its shape."""
    same = str(add.meta["val"].shape) == str(stream.meta["val"].shape)
    return same and value_readers(given) == [add] and not is_changed(add) and not is_changed(stream)


def _common(layers: list[str]) -> str:
    """The names that all layers begin with; the first layer's where there are none."""
    words = zip(*(name.split(".") for name in layers), strict=False)
    return ".".join(same[0] for same in takewhile(lambda each: len(set(each)) == 1, words)) or layers[0]
