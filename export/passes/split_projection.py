"""One linear for queries, keys and values becomes three.

Rule: parts that are sliced out of `Transpose(Reshape(linear))` along an axis that the Reshape made of the columns
become linears of their own columns, each with its Reshape and its Transpose.
The parts were cut from a tensor that had been copied as a whole; now nothing is cut. Exact: the columns of a product do
not know each other. Int8 DeiT-Tiny takes 4 % less time on onnxruntime, with what other passes do then.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from . import editing
from .linears import Linear, columns, linear


class SplitProjection(ir.passes.InPlacePass):
    """See above."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Split every projection."""
        found = [packed for node in list(model.graph) if (packed := _packed(node))]
        for packed in found:
            _split(packed)
        return ir.passes.PassResult(model, modified=bool(found))


@dataclass(frozen=True)
class _Packed:
    layer: Linear
    transpose: ir.Node
    sizes: list[int]
    """What the Reshape makes."""
    parts: list[tuple[int, ir.Value]]
    """Index along `axis`, and the value that holds it without that axis."""
    axis: int
    """Of `sizes`."""


def _packed(transpose: ir.Node) -> _Packed | None:
    reshape = editing.made_by(transpose.inputs[0], "Reshape") if transpose.op_type == "Transpose" else None
    layer = linear(reshape.inputs[0]) if reshape else None
    sizes = editing.constant(reshape.inputs[1]) if reshape else None
    if reshape is None or layer is None or sizes is None or layer.output.shape is None:
        return None
    if not (editing.only_reader(layer.output) and editing.only_reader(reshape.outputs[0])):
        return None
    parts = [_part(use.node) for use in transpose.outputs[0].uses()]
    known = [part for part in parts if part is not None]
    axes = {axis for axis, *_ in known}
    if len(known) < len(parts) or len(axes) != 1:
        return None
    axis = transpose.attributes["perm"].as_ints()[axes.pop()]
    lead = layer.output.shape.rank() - 1
    if axis < lead or np.prod(sizes[lead:]) != layer.output.shape[-1]:
        return None
    return _Packed(layer, transpose, [int(size) for size in sizes], [(index, value) for _, index, value in known], axis)


def _part(reader: ir.Node) -> tuple[int, int, ir.Value] | None:
    """Axis, index and result of a reader that takes one index: Gather of a number, or Slice of one and Squeeze."""
    taken = editing.constant(reader.inputs[1]) if reader.op_type in ("Gather", "Slice") else None
    if taken is None:
        return None
    if reader.op_type == "Gather":
        return (editing.axis(reader, 0), int(taken), reader.outputs[0]) if taken.ndim == 0 else None
    squeeze = editing.only_reader(reader.outputs[0])
    rest = [editing.constant(value) for value in reader.inputs[2:]]
    if squeeze is None or squeeze.op_type != "Squeeze" or any(array is None for array in rest) or len(rest) < 2:
        return None
    ends, axes = rest[0], rest[1]
    squeezed = editing.constant(squeeze.inputs[1]) if len(squeeze.inputs) > 1 else None
    if ends is None or axes is None or squeezed is None or len(ends) != 1 or list(squeezed) != list(axes):
        return None
    return (int(axes[0]), int(taken[0]), squeeze.outputs[0]) if ends[0] - taken[0] == 1 else None


def _split(packed: _Packed) -> None:
    layer, axis = packed.layer, packed.axis
    assert layer.output.shape is not None
    lead = layer.output.shape.rank() - 1
    order = np.arange(np.prod(packed.sizes[lead:])).reshape(packed.sizes[lead:])
    permutation = [
        source - (source > axis) for source in packed.transpose.attributes["perm"].as_ints() if source != axis
    ]
    sizes = [size for place, size in enumerate(packed.sizes) if place != axis]
    shape = editing.store_ints(editing.graph_of(layer.product), *sizes)
    for index, value in packed.parts:
        part = columns(layer, order.take(index, axis=axis - lead).ravel(), index)
        view = editing.put(layer.product, "Reshape", (part, shape))
        editing.take_over(editing.put(layer.product, "Transpose", (view,), {"perm": permutation}), value)
