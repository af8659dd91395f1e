"""Rewrites of a traced program into operators that coremltools translates, each giving the same numbers.

They run on the decomposed ATen graph, in place, in the order of `REWRITES`. What they make keeps the name of what it
replaces, because the program's signature speaks of its outputs by name.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node, map_arg

aten = torch.ops.aten
BICUBIC = {
    aten.upsample_bicubic2d.vec: aten.upsample_bicubic2d.default,
    aten.upsample_bicubic2d.default: aten.upsample_bicubic2d.default,
    aten._upsample_bicubic2d_aa.vec: aten._upsample_bicubic2d_aa.default,
    aten._upsample_bicubic2d_aa.default: aten._upsample_bicubic2d_aa.default,
}
"""Bicubic resizing, and the form of it that takes a size and a scale for each axis."""


def rewrite(program: GraphModule) -> None:
    """Apply every rewrite."""
    for apply in REWRITES:
        apply(program)
    program.graph.eliminate_dead_code()
    program.recompile()


def fold_constants(program: GraphModule) -> None:
    """Compute what depends on neither the input nor a weight: position tables that a model makes anew on every call.

    coremltools folds constants too, but only after it has translated them, and cannot translate all that makes them.
    """
    known: dict[Node, Any] = {}
    with torch.no_grad():
        for node in program.graph.nodes:
            if node.op == "call_function" and not node.is_impure() and all(n in known for n in node.all_input_nodes):
                args, kwargs = map_arg((node.args, node.kwargs), lambda n: known[n])
                known[node] = node.target(*args, **kwargs)
    for node, value in known.items():
        if isinstance(value, Tensor) and any(user not in known for user in node.users):
            with program.graph.inserting_before(node):
                replace(node, constant(program, value))


def clone_aliases(program: GraphModule) -> None:
    """An alias is the tensor itself; a clone, which coremltools drops, is as good."""
    for node in program.graph.find_nodes(op="call_function", target=aten.alias.default):
        node.target = aten.clone.default


def resize_by_matrices(program: GraphModule) -> None:
    """Bicubic resizing is linear along each axis: rows * x * columns, with matrices made by the operator itself."""
    for node in [n for n in program.graph.nodes if n.target in BICUBIC]:
        with program.graph.inserting_before(node):
            rows, columns = (constant(program, matrix) for matrix in _matrices(node))
            shorter = program.graph.call_function(aten.matmul.default, (rows, node.args[0]))
            replace(node, program.graph.call_function(aten.matmul.default, (shorter, columns)))


def _matrices(node: Node) -> tuple[Tensor, Tensor]:
    """What multiplies an image from the left and from the right: each axis of a unit matrix, resized."""
    arguments: tuple[Any, ...] = node.args
    image, _, aligned, *scales = arguments
    operator: Any = node.target
    if operator._overloadname == "vec":
        scales = list(scales[0] or ()) if scales else []
    made = []
    for axis, scale in zip((2, 3), scales or (None, None), strict=True):
        length, wanted = image.meta["val"].shape[axis], node.meta["val"].shape[axis]
        unit = torch.eye(length).view(1, 1, length, length)
        made.append(BICUBIC[operator](unit, [wanted, length], aligned, scale, None))
    return made[0], made[1].transpose(2, 3).contiguous()


def fold_by_convolution(program: GraphModule) -> None:
    """Summing overlapping patches into an image is a transposed convolution whose kernels place one value each."""
    for node in program.graph.find_nodes(op="call_function", target=aten.col2im.default):
        columns, size, kernel, dilation, padding, stride = node.args
        span = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        sides = [(n + 2 * p - w) // s + 1 for n, p, w, s in zip(size, padding, span, stride, strict=True)]
        count = kernel[0] * kernel[1]
        channels = columns.meta["val"].shape[1] // count
        place = torch.eye(count).view(count, 1, *kernel).repeat(channels, 1, 1, 1)
        with program.graph.inserting_before(node):
            patches = program.graph.call_function(aten.view.default, (columns, [-1, channels * count, *sides]))
            weight = constant(program, place)
            arguments = (patches, weight, None, stride, [0, 0], dilation, True, [0, 0], channels)
            image = program.graph.call_function(aten.convolution.default, arguments)
            short = [
                max(p + n - (s * (m - 1) + w), 0)
                for n, p, w, s, m in zip(size, padding, span, stride, sides, strict=True)
            ]
            if any(short):  # pixels that no patch reaches
                ends = [0, short[1], 0, short[0]]
                image = program.graph.call_function(aten.constant_pad_nd.default, (image, ends, 0.0))
            for axis, (start, length) in enumerate(zip(padding, size, strict=True), 2):
                image = program.graph.call_function(aten.slice.Tensor, (image, axis, start, start + length))
            replace(node, image)


def constant(program: GraphModule, value: Tensor) -> Node:
    """A node that reads `value`, kept in the program."""
    name = f"constant_{sum(name.startswith('constant_') for name, _ in program.named_buffers())}"
    program.register_buffer(name, value)
    node = program.graph.create_node("get_attr", name, name=name)
    node.meta["val"] = value
    return node


def replace(node: Node, other: Node) -> None:
    """Put `other` in the place of `node`, under its name."""
    other.meta = {**node.meta, **other.meta}
    node.replace_all_uses_with(other)
    node.graph.erase_node(node)
    if other.op == "call_function":
        other.name = node.name


REWRITES: tuple[Callable[[GraphModule], None], ...] = (
    fold_constants,
    clone_aliases,
    resize_by_matrices,
    fold_by_convolution,
)
