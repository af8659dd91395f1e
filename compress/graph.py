"""Reading and editing a traced program: what a node is called with, which layers there are, what their tensors hold."""

from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import GraphModule, Node

from ..layers import layer_of

aten = torch.ops.aten

WEIGHTED = (aten.linear.default, aten.conv2d.default)
"""The operators whose weights are quantized."""

VIEWS = frozenset(
    {
        aten.dropout.default,
        aten.clone.default,
        aten.contiguous.default,
        aten.roll.default,
        aten.slice.Tensor,
        aten.select.int,
        aten.view.default,
        aten.reshape.default,
        aten.permute.default,
        aten.transpose.int,
        aten.flatten.using_ints,
    }
)
"""Operators that move values about and change none; whether they leave the last axis whole depends on the call."""


def arguments(node: Node) -> tuple[Any, ...]:
    """What an operator is called with, in the order of its schema; the defaults where the call says nothing."""
    assert isinstance(node.target, OpOverload)
    left_out = node.target._schema.arguments[len(node.args) :]
    return (*node.args, *(node.kwargs.get(argument.name, argument.default_value) for argument in left_out))


def find_sites(program: GraphModule) -> list[Node]:
    """The linears and convolutions whose weights are parameters, in the order in which they run."""
    return [
        node
        for node in program.graph.nodes
        if node.op == "call_function" and node.target in WEIGHTED and as_node(node.args[1]).op == "get_attr"
    ]


def is_grouped(site: Node) -> bool:
    """Whether a site is a convolution whose outputs see only some of its inputs."""
    return site.target is aten.conv2d.default and bool(arguments(site)[6] != 1)


def channel_axis(site: Node) -> int:
    """The axis of a site's input along which its weights differ: the last of a linear's, the second of images."""
    return 1 if site.target is aten.conv2d.default else -1


def layer(site: Node) -> str:
    """The name of the module whose weight a site reads."""
    return layer_of(str(as_node(site.args[1]).target))


def attribute(program: GraphModule, node: Node) -> Any:
    """What a `get_attr` node gives: a tensor, or a program of its own."""
    owner, _, leaf = str(node.target).rpartition(".")
    return getattr(program.get_submodule(owner), leaf)


def tensor(program: GraphModule, node: Node) -> Tensor:
    """The tensor that a `get_attr` node gives."""
    value = attribute(program, node)
    assert isinstance(value, Tensor)
    return value.detach()


def assign(program: GraphModule, node: Node, value: Tensor) -> None:
    """Give a `get_attr` node another tensor, in this program only; what else reads the name reads it too."""
    owner, _, leaf = str(node.target).rpartition(".")
    module = program.get_submodule(owner)
    if leaf in module._buffers:
        module._buffers[leaf] = value
    else:
        setattr(module, leaf, nn.Parameter(value, requires_grad=False))


def is_own(program: GraphModule, node: Node) -> bool:
    """Whether a tensor is read once in the whole program, so that changing it changes one thing."""
    readers = [user for other in program.graph.nodes if other.target == node.target for user in other.users]
    return node.op == "get_attr" and len(readers) == 1


def of_images(program: GraphModule) -> set[Node]:
    """What depends on the images, be it on nothing but how many they are."""
    found: set[Node] = set()
    for node in program.graph.nodes:
        if node.op == "placeholder" or any(read in found for read in node.all_input_nodes):
            found.add(node)
    return found


def as_node(argument: object) -> Node:
    """An argument that is known to be a node."""
    assert isinstance(argument, Node)
    return argument
