"""Shapes that the tracer left out.

Rule: a value whose shape follows from those of the node's inputs gets it. The tracer notes the shapes of the program's
own values, not of those inside a translation, and other passes make new ones. Nothing else changes.
"""

from collections.abc import Callable
from math import prod

import onnx_ir as ir

from . import editing


class KnownShapes(ir.passes.InPlacePass):
    """See above."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Go through the graph once, in its order."""
        modified = False
        for node in model.graph:
            value = node.outputs[0]
            if value.shape is None and (shape := _shape(node)) is not None:
                value.shape = shape
                modified = True
        return ir.passes.PassResult(model, modified=modified)


def _shape(node: ir.Node) -> ir.Shape | None:
    rule = _RULES.get(node.op_type)
    shapes = [value.shape if value is not None else None for value in node.inputs]
    return rule(node, *shapes) if rule and None not in shapes else None


def _like_first(_node: ir.Node, first: ir.Shape, *_others: ir.Shape) -> ir.Shape:
    return ir.Shape(list(first))


def _reduced(node: ir.Node, before: ir.Shape, _axes: ir.Shape) -> ir.Shape | None:
    """Where the axes stay, with a size of 1."""
    axes = editing.constant(node.inputs[1])
    if axes is None or not node.attributes.get_int("keepdims", 1):
        return None
    gone = {int(axis) % before.rank() for axis in axes}
    return ir.Shape([1 if axis in gone else size for axis, size in enumerate(before)])


def _transposed(node: ir.Node, before: ir.Shape) -> ir.Shape:
    return ir.Shape([before[axis] for axis in node.attributes["perm"].as_ints()])


def _multiplied(_node: ir.Node, left: ir.Shape, right: ir.Shape) -> ir.Shape | None:
    if min(left.rank(), right.rank()) < 2:
        return None
    lead = left if left.rank() >= right.rank() else right
    return ir.Shape([*lead[:-2], left[-2], right[-1]])


def _reshaped(node: ir.Node, before: ir.Shape, _sizes: ir.Shape) -> ir.Shape | None:
    """With one free dimension, which stays what it was if the others keep their product."""
    sizes = editing.constant(node.inputs[1])
    if sizes is None:
        return None
    wanted = [int(size) for size in sizes]
    free = [size for size in before if not isinstance(size, int)]
    kept = prod(size for size in before if isinstance(size, int)) == prod(size for size in wanted if size > 0)
    if 0 in wanted or wanted.count(-1) > 1 or (-1 in wanted and not (len(free) == 1 and kept)):
        return None
    return ir.Shape([free[0] if size == -1 else size for size in wanted])


def _summed(_node: ir.Node, one: ir.Shape, other: ir.Shape) -> ir.Shape | None:
    """Of two shapes, where one is the other, or that of a constant with fewer and shorter dimensions."""
    large, small = (one, other) if one.rank() >= other.rank() else (other, one)
    ends = list(large)[large.rank() - small.rank() :]
    fits = all(size in (1, end) for size, end in zip(small, ends, strict=True))
    return ir.Shape(list(large)) if fits else None


_RULES: dict[str, Callable[..., ir.Shape | None]] = {
    **dict.fromkeys(
        ("QuantizeLinear", "DequantizeLinear", "Softmax", "LayerNormalization", "Gelu", "Erf", "Clip", "Cast"),
        _like_first,
    ),
    **dict.fromkeys(("Add", "Div", "GreaterOrEqual", "Mul", "Sub"), _summed),
    "MatMul": _multiplied,
    "ReduceMax": _reduced,
    "Reshape": _reshaped,
    "Transpose": _transposed,
}
"""What follows from the shapes of a node's inputs."""
