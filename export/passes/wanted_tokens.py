"""Tokens that nothing reads are not computed.

Rule: where all readers of a value take one and the same index along an axis, as a classifier takes the class token, the
node that makes the value gets that index of its inputs alone. So it goes up through LayerNormalization, products,
activations, sums and views, to the queries of the last attention; keys and values are needed whole. Exact: rows do not
know each other there. Int8 DeiT-Tiny takes 8 % less time on onnxruntime.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from . import editing


@dataclass(frozen=True)
class _Place:
    """An index along an axis."""

    axis: int
    index: int


@dataclass
class _Plan:
    """What to do: the places that are taken of values, by the nodes that take them as inputs."""

    moved: dict[ir.Node, _Place] = field(default_factory=dict)
    """Nodes that give one index of their result, and which."""
    takes: dict[tuple[ir.Node, int], _Place] = field(default_factory=dict)
    """What such a node, or the one that took the index before, reads: by its input's number."""


class WantedTokens(ir.passes.InPlacePass):
    """See above."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Carry every selection up as far as it goes."""
        plan = _plan(model)
        if plan.moved:
            _carry_out(plan)
        return ir.passes.PassResult(model, modified=bool(plan.moved))


def _plan(model: ir.Model) -> _Plan:
    plan = _Plan()
    for node in reversed(model.graph):
        if (selected := _selected(node)) is not None:
            plan.takes[node, 0] = selected
        elif (place := _wanted(node, plan)) is not None and (inputs := _needed(node, place)):
            plan.moved[node] = place
            plan.takes.update({(node, number): wanted for number, wanted in inputs.items()})
    return plan


def _selected(node: ir.Node) -> _Place | None:
    """What a Gather of one index takes, where the axis is known to have more."""
    index = editing.constant(node.inputs[1]) if node.op_type == "Gather" else None
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    axis = editing.axis(node, 0)
    if index is None or index.ndim or shape is None or axis < 0 or int(index) < 0:
        return None
    length = shape[axis]
    return _Place(axis, int(index)) if isinstance(length, int) and length > 1 else None


def _wanted(node: ir.Node, plan: _Plan) -> _Place | None:
    """The one place that all readers of a node's result take."""
    if len(node.outputs) != 1 or node.outputs[0].is_graph_output() or not node.outputs[0].uses():
        return None
    places = {plan.takes.get((use.node, use.idx)) for use in node.outputs[0].uses()}
    return places.pop() if len(places) == 1 else None


def _needed(node: ir.Node, place: _Place) -> dict[int, _Place]:
    """The inputs that a node needs one index of, to give one index of its result; none if it needs more."""
    rule = _RULES.get(node.op_type)
    shapes = [value.shape if value is not None else None for value in node.inputs]
    if rule is None or node.outputs[0].shape is None or any(shape is None for shape in shapes):
        return {}
    return rule(node, place)


def _element_wise(node: ir.Node, place: _Place) -> dict[int, _Place]:
    """Shapes are aligned at their ends, and a size of 1 serves every index."""
    rank, found = _shape(node.outputs[0]).rank(), {}
    for number, value in enumerate(node.inputs):
        shape = _shape(value)
        axis = place.axis - (rank - shape.rank())
        if axis >= 0 and shape[axis] != 1:
            found[number] = _Place(axis, place.index)
    return found


def _along_last(node: ir.Node, place: _Place) -> dict[int, _Place]:
    last = _shape(node.outputs[0]).rank() - 1
    return {0: place} if place.axis < last and editing.axis(node, -1) in (-1, last) else {}


def _codes(node: ir.Node, place: _Place) -> dict[int, _Place]:
    return {0: place} if _shape(node.inputs[1]).rank() == 0 else {}


def _product(node: ir.Node, place: _Place) -> dict[int, _Place]:
    left, right = _shape(node.inputs[0]), _shape(node.inputs[1])
    rows = place.axis == left.rank() - 2 or (right.rank() == 2 and place.axis < left.rank() - 1)
    return {0: place} if rows and left.rank() >= right.rank() else {}


def _transposed(node: ir.Node, place: _Place) -> dict[int, _Place]:
    return {0: _Place(node.attributes["perm"].as_ints()[place.axis], place.index)}


def _reshaped(node: ir.Node, place: _Place) -> dict[int, _Place]:
    """Where the axis and all before it stay what they are."""
    before, after = _shape(node.inputs[0]), _shape(node.outputs[0])
    same = list(before[: place.axis + 1]) == list(after[: place.axis + 1])
    return {0: place} if same and editing.constant(node.inputs[1]) is not None else {}


def _reduced(node: ir.Node, place: _Place) -> dict[int, _Place]:
    """Where other axes are reduced, and none is lost."""
    axes, rank = editing.constant(node.inputs[1]), _shape(node.inputs[0]).rank()
    if axes is None or place.axis in axes % rank or not node.attributes.get_int("keepdims", 1):
        return {}
    return {0: place}


_ELEMENT_WISE = ["Add", "Cast", "Clip", "Div", "Erf", "Gelu", "GreaterOrEqual", "Mul", "Relu", "Sigmoid", "Sub", "Tanh"]
_RULES: dict[str, Callable[[ir.Node, _Place], dict[int, _Place]]] = {
    **dict.fromkeys(_ELEMENT_WISE, _element_wise),
    **dict.fromkeys(("LayerNormalization", "Softmax"), _along_last),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _codes),
    "MatMul": _product,
    "ReduceMax": _reduced,
    "Transpose": _transposed,
    "Reshape": _reshaped,
}
"""What one index of a node's result takes of its inputs, whose shapes are all known."""


def _shape(value: ir.Value | None) -> ir.Shape:
    assert value is not None
    assert value.shape is not None
    return value.shape


def _carry_out(plan: _Plan) -> None:
    taken: dict[tuple[ir.Value, _Place], ir.Value] = {}
    for (node, number), place in reversed(plan.takes.items()):
        value = node.inputs[number]
        assert value is not None
        if value.producer() in plan.moved:
            if node not in plan.moved:
                zero = editing.store(editing.graph_of(node), "index_0", np.array(0, dtype=np.int64))
                node.replace_input_with(1, zero)
        elif node in plan.moved:
            if (value, place) not in taken:
                taken[value, place] = _take(node, value, place)
            node.replace_input_with(number, taken[value, place])
    for node, place in plan.moved.items():
        _shrink(node, place)


def _take(before: ir.Node, value: ir.Value, place: _Place) -> ir.Value:
    """One index of a value, with its axis kept; of its codes, where it is made of codes."""
    read = editing.made_by(value, "DequantizeLinear")
    if read is not None and (scale := editing.constant(read.inputs[1])) is not None and not scale.ndim:
        assert read.inputs[0] is not None
        codes = _take(before, read.inputs[0], place)
        result = editing.put(before, "DequantizeLinear", (codes, *read.inputs[1:]))
    else:
        graph = editing.graph_of(before)
        bounds = (editing.store_ints(graph, number) for number in (place.index, place.index + 1, place.axis))
        result = editing.put(before, "Slice", (value, *bounds))
    result.type = value.type
    result.shape = _one(value.shape, place)
    return result


def _shrink(node: ir.Node, place: _Place) -> None:
    value = node.outputs[0]
    if node.op_type == "Reshape":
        sizes = editing.constant(node.inputs[1])
        assert sizes is not None
        wanted = [1 if axis == place.axis else int(size) for axis, size in enumerate(sizes)]
        node.replace_input_with(1, editing.store_ints(editing.graph_of(node), *wanted))
    value.shape = _one(value.shape, place)
    value.name = f"{value.name}_wanted"  # it is not the value of that name in the program any more


def _one(shape: ir.Shape | None, place: _Place) -> ir.Shape | None:
    return shape and ir.Shape([1 if axis == place.axis else size for axis, size in enumerate(shape)])
