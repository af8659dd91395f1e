"""The weight and the bias of a layer or a norm in a program: read in double precision, changed, added."""

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from .graph import arguments, as_node, assign, aten, is_own, tensor
from .walk import evaluate

WEIGHT: dict[object, int] = {aten.layer_norm.default: 2, aten.linear.default: 1, aten.conv2d.default: 1}
"""Where operators take their weight; the bias comes next."""


def parameters(node: Node) -> tuple[Node | None, Node | None]:
    """The nodes of an operator's weight and bias."""
    first = WEIGHT[node.target]
    weight, bias = arguments(node)[first : first + 2]
    return weight, bias


def has_own_weight(program: GraphModule, node: Node) -> bool:
    """Whether nothing else reads an operator's weight, and its bias, if it has one, is the same for all images."""
    weight, bias = parameters(node)
    return weight is not None and is_own(program, weight) and (bias is None or is_constant(bias))


def is_constant(node: Node) -> bool:
    """Whether a node gives the same whatever the images, as a bias does that is put together from several."""
    reads = node.all_input_nodes
    return node.op == "get_attr" or (node.op == "call_function" and bool(reads) and all(map(is_constant, reads)))


def constant(program: GraphModule, node: Node) -> Tensor:
    """What a constant node gives."""
    if node.op == "get_attr":
        return tensor(program, node)
    given: Tensor = evaluate(node, {read: constant(program, read) for read in node.all_input_nodes})
    return given


def weight_of(program: GraphModule, node: Node) -> Tensor:
    """The weight of an operator in double precision."""
    return tensor(program, as_node(parameters(node)[0])).double()


def set_weight(program: GraphModule, node: Node, weight: Tensor) -> None:
    """Give an operator another weight, in the precision of the first."""
    stored = as_node(parameters(node)[0])
    assign(program, stored, weight.to(tensor(program, stored).dtype))


def bias_of(program: GraphModule, node: Node) -> Tensor:
    """The bias of an operator in double precision; zeros where it has none."""
    bias = parameters(node)[1]
    if bias is None:
        return torch.zeros(len(weight_of(program, node)), dtype=torch.float64)
    return constant(program, bias).double()


def set_bias(program: GraphModule, node: Node, bias: Tensor) -> None:
    """Give an operator another bias, or its first one if that is not zero."""
    weight, old = parameters(node)
    kind = tensor(program, as_node(weight)).dtype
    if old is not None and is_own(program, old):
        assign(program, old, bias.to(kind))
    elif old is not None or bool(bias.any()):
        with program.graph.inserting_before(node):
            new = add_parameter(program, f"{as_node(weight).target}".rpartition(".")[0], "bias", bias.to(kind))
        position = WEIGHT[node.target] + 1
        given = arguments(node)
        node.args = (*given[:position], new, *given[position + 1 : len(node.args)])
        node.kwargs = {name: value for name, value in node.kwargs.items() if name != "bias"}


def scale_outputs(program: GraphModule, writer: Node, scale: Tensor) -> None:
    """Have a linear or a convolution write `x * scale`, [N], in place of `x`."""
    weight = weight_of(program, writer)
    set_weight(program, writer, weight * scale.double().view(-1, *[1] * (weight.dim() - 1)))
    set_bias(program, writer, bias_of(program, writer) * scale.double())


def add_parameter(program: GraphModule, owner: str, leaf: str, value: Tensor) -> Node:
    """A `get_attr` node of a new parameter of a submodule, at the graph's insertion point."""
    module = program.get_submodule(owner)
    while getattr(module, leaf, None) is not None:
        leaf += "_"
    setattr(module, leaf, nn.Parameter(value, requires_grad=False))
    node = program.graph.get_attr(f"{owner}.{leaf}".lstrip("."))
    node.meta["val"] = value
    return node
