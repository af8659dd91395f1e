"""Attention first, then all else: layers of signs wait until attention of one bit has learned (BiViT, ICCV 2023).

BiViT binarizes attention and perceptrons apart, each when the other is in float: what both need at once is not found.
Here layers outside attention whose codes are signs take their weights as floats during a first share of the steps, and
as codes from then on. Where attention is not of one bit, or no such layer is outside it, nothing waits.
"""

from collections.abc import Callable, Iterable

from torch.fx import GraphModule, Node

from ..attention import find_products
from ..binary_softmax import BINARY
from ..graph import arguments
from ..ops import QUANTIZED
from ..weights import SIGNS


def waiting(program: GraphModule) -> list[Node]:
    """The layers that wait."""
    if not program.graph.find_nodes(op="call_function", target=BINARY):
        return []
    own = of_attention(program)
    layers = (node for node in program.graph.nodes if node.target in QUANTIZED.values())
    return [layer for layer in layers if arguments(layer)[-1] <= SIGNS and layer not in own]


def of_attention(program: GraphModule) -> set[Node]:
    """The quantized layers next to attention's products: what gives queries, keys and values, and what reads."""
    products = find_products(program)
    return {*_nearest(products, lambda node: node.all_input_nodes), *_nearest(products, lambda node: node.users)}


def waits(step: int, steps: int, share: float) -> bool:
    """Whether it is attention's turn in a step."""
    return step < round(share * steps)


def _nearest(starts: Iterable[Node], onwards: Callable[[Node], Iterable[Node]]) -> set[Node]:
    """The quantized layers that are reached first."""
    left, seen = list(starts), set[Node]()
    while left:
        for node in onwards(left.pop()):
            if node not in seen:
                seen.add(node)
                if node.target not in QUANTIZED.values():
                    left.append(node)
    return {node for node in seen if node.target in QUANTIZED.values()}
