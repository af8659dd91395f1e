"""How many multiply-accumulates a backbone does at which bits: those of its weights' codes and of what they meet.

A product counts as rounded where both of its factors are; any other is a float one, `w32a32`. Attention has two
products of values, and the second of its factors is counted as the weight.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule, Interpreter, Node
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..models.cost import cost, counter
from .graph import VIEWS, arguments
from .logarithmic import LOGARITHM
from .ops import QUANTIZED, ROUNDING

FLOAT = "w32a32"


def macs_by_bits(module: nn.Module, input_size: Sequence[int]) -> dict[str, int]:
    """Of one image, by what `w8a8` and the like say of the bits of both factors."""
    if not isinstance(module, GraphModule):
        return {FLOAT: cost(module, input_size).macs}
    run = _Counting(module)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        run.run(torch.zeros(1, *input_size))
    return dict(sorted(run.counted.items()))


class _Counting(Interpreter):
    """Runs a program, and counts at every node."""

    def __init__(self, program: GraphModule) -> None:
        super().__init__(program)
        self.counted: Counter[str] = Counter()

    def run_node(self, n: Node) -> Any:
        """What the node gives; its products are counted under their bits."""
        with counter() as flops:
            result = super().run_node(n)
        if found := flops.get_total_flops():
            self.counted[_bits(n)] += found // 2
        return result


def _bits(node: Node) -> str:
    if node.target in QUANTIZED.values():
        left, *_, weight = arguments(node)
        found = [weight, _rounded(left)]
    else:
        found = [_rounded(factor) for factor in reversed(node.args[:2])]
    return FLOAT if None in found else "w{}a{}".format(*found)


def _rounded(node: object) -> int | None:
    """The bits that values were rounded to, before they were moved about."""
    while isinstance(node, Node) and node.target in VIEWS:
        node = node.args[0]
    if not isinstance(node, Node):
        return None
    if node.target in ROUNDING:
        return int(arguments(node)[-2])
    return int(arguments(node)[-1]) if node.target == LOGARITHM else None
