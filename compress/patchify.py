"""Convolutions whose patches do not overlap, as linears over flattened patches: the same sums, as one matrix product.

A patch embedding is such a convolution, and so are the downsamplings of hierarchical models. Runtimes have faster
integer kernels for matrix products than for convolutions with large strides.
"""

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from .graph import arguments, aten


def patchify(program: GraphModule) -> None:
    """Rewrite every such convolution of a traced program, in place."""
    for node in list(program.graph.nodes):
        if node.target is aten.conv2d.default and _fits(node):
            _rewrite(program, node)


def _fits(node: Node) -> bool:
    """Whether the stride is the kernel, nothing is padded, dilated or grouped, and the patches tile the input."""
    image, weight, _, stride, padding, dilation, groups = arguments(node)
    if weight.op != "get_attr":
        return False
    kernel = list(weight.meta["val"].shape[2:])
    sides = image.meta["val"].shape[2:]
    tiles = all(isinstance(side, int) and side % length == 0 for side, length in zip(sides, kernel, strict=True))
    plain = list(padding) == [0, 0] and list(dilation) == [1, 1] and groups == 1
    return plain and tiles and list(stride) == kernel and kernel != [1, 1]


def _rewrite(program: GraphModule, node: Node) -> None:
    image, weight, bias, *_ = arguments(node)
    kernel: Tensor = weight.meta["val"]
    outputs, inputs, rows, columns = kernel.shape
    height, width = (side // length for side, length in zip(image.meta["val"].shape[2:], (rows, columns), strict=True))
    graph = program.graph
    flat = _flat_weight(program, str(weight.target))
    with graph.inserting_before(node):
        split = graph.call_function(aten.reshape.default, (image, [-1, inputs, height, rows, width, columns]))
        ordered = graph.call_function(aten.permute.default, (split, [0, 2, 4, 1, 3, 5]))
        patches = graph.call_function(aten.reshape.default, (ordered, [-1, height * width, inputs * rows * columns]))
        product = graph.call_function(aten.linear.default, (patches, graph.get_attr(flat), bias))
        channels_first = graph.call_function(aten.permute.default, (product, [0, 2, 1]))
        result = graph.call_function(aten.reshape.default, (channels_first, [-1, outputs, height, width]))
    result.meta["val"] = node.meta["val"]  # the next convolution asks for its input's shape
    node.replace_all_uses_with(result)
    graph.erase_node(node)


def _flat_weight(program: GraphModule, name: str) -> str:
    """A parameter that holds the kernel as [O, I * h * w], beside the original."""
    owner, _, leaf = name.rpartition(".")
    module = program.get_submodule(owner)
    module.register_parameter(f"{leaf}_flat", torch.nn.Parameter(getattr(module, leaf).detach().flatten(1)))
    return f"{name}_flat"
