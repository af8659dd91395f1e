"""What is to be said of an artifact whose attention has one bit."""

from torch.fx import GraphModule

from ..compress.binary_softmax import BINARY
from ..models.backbone import Backbone


def note(backbone: Backbone, executed: str) -> str:
    """As what a target multiplies it; nothing where there is none."""
    module = backbone.module
    if not isinstance(module, GraphModule) or not module.graph.find_nodes(op="call_function", target=BINARY):
        return ""
    return f"attention's shares have 1 bit, {executed} executed"
