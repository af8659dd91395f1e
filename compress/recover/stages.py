"""Where a program is looked into: the stream of tokens, behind each layer whose outputs are added to it.

Answers tell little of what lies between them: a teacher that sees ten of its thousand classes says the same of all the
others. What its first token holds on the way is not about classes, and is learned for those that were not seen, too
(features inside the network: FitNets, arXiv 1412.6550; TinyBERT, arXiv 1909.10351).
"""

from torch.fx import GraphModule, Node

from ...layers import layer_of
from ..channels import rank_of
from ..graph import VIEWS, WEIGHTED, as_node, aten
from ..ops import QUANTIZED
from ..walk import ROUNDS

LAYERS = (*WEIGHTED, *QUANTIZED.values())
TOKENS = 3
"""The rank of a batch of tokens: images, tokens, channels."""


def find_stages(program: GraphModule) -> dict[str, Node]:
    """Sums of tokens and of what a layer gives for them, by the layer, in the order they run."""
    found: dict[str, Node] = {}
    for node in program.graph.nodes:
        if node.target == aten.add.Tensor and len(node.all_input_nodes) == 2 and rank_of(node) == TOKENS:
            givers = [giver for giver in map(giver_of, node.all_input_nodes) if giver is not None]
            found |= {layer_of(str(as_node(giver.args[1]).target)): node for giver in givers[-1:]}
    return found


def giver_of(node: Node) -> Node | None:
    """The layer whose outputs a node holds, as they are or seen otherwise; None where it computes with them."""
    while node.target in VIEWS:
        node = as_node(node.args[0])
    return node if node.target in LAYERS else None


def features_of(answer: Node) -> Node | None:
    """What the last layer reads, before it is rounded; None where the answer comes from elsewhere."""
    last = giver_of(answer)
    if last is None:
        return None
    source = as_node(last.args[0])
    return as_node(source.args[0]) if source.target in ROUNDS else source
