"""What a file stores weights in, and what is executed: said of every artifact whose weights have fewer than 8 bits."""

from collections import Counter

from torch.fx import GraphModule

from ..compress.graph import arguments, as_node, tensor
from ..compress.ops import QUANTIZED
from ..models.backbone import Backbone

BYTE = 8


def widths(backbone: Backbone) -> Counter[int]:
    """How many weights have codes of how many bits."""
    found, program = Counter[int](), backbone.module
    if isinstance(program, GraphModule):
        for node in program.graph.nodes:
            if node.target in QUANTIZED.values():
                _, codes, *_, bits = arguments(node)
                found[bits] += tensor(program, as_node(codes)).numel()
    return found


def note(backbone: Backbone, fewer: str) -> str:
    """`fewer` says what a target makes of narrow weights; nothing is said where there are none."""
    found = widths(backbone)
    narrow = {bits: count for bits, count in sorted(found.items()) if bits < BYTE}
    if not narrow:
        return ""
    shares = (f"{bits} bit{'s' * (bits > 1)} ({100 * n / found.total():.0f} %)" for bits, n in narrow.items())
    return f"weights of {', '.join(shares)}: {fewer}"
