"""The float part of an ONNX model in half precision, every type said, as a strongly typed TensorRT network wants it.

There nobody chooses precisions but the file:

1. Values are float16, and weights are stored so. Constants beyond float16's range end at its largest number.
2. What squares, sums or exponentiates runs in float32 (`WIDE`), LayerNormalization above all: the squares of a ViT's
   residual stream do not fit 65504. Neighbours of this kind hand each other float32 values.
3. A Cast stands where a value changes its type, one for all readers, and nowhere else.
4. The model's own inputs and outputs stay float32.
5. Scales are float16 and above zero: smaller ones become the smallest number there is.
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from ..errors import UserError
from .passes import editing
from .preflight import HALF_END

TINIEST = np.float16(2**-24)
FLOAT, HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16

NORMS = frozenset(
    ("GroupNormalization", "InstanceNormalization", "LayerNormalization", "LpNormalization", "RMSNormalization")
)
"""Operators that square and sum inside."""
WIDE = NORMS | {
    *("CumSum", "Exp", "Log", "LogSoftmax", "Pow", "Reciprocal", "Softplus", "Sqrt"),
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean", "ReduceProd", "ReduceSum"),
    *("ReduceSumSquare", "Cos", "Sin"),
}
"""Operators that stay in float32."""
SCALES = {"QuantizeLinear": 1, "DequantizeLinear": 1}
"""Which input is a scale."""
FIXED = {"Resize": (2,)}
"""Inputs that ONNX wants in float32 whatever the rest is."""


def to_half(model: ir.Model) -> None:
    """Type the model in place."""
    graph = model.graph
    typing = _Typing(graph)
    for node in list(graph):
        typing.type_node(node)
    for position, output in enumerate(graph.outputs):
        if output.dtype == HALF:
            graph.outputs[position] = typing.widen_output(output)
    common.RemoveUnusedNodesPass()(model)


class _Typing:
    """The casts and the converted constants of one graph, each made once."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.made: dict[tuple[str, ir.DataType], ir.Value] = {}

    def type_node(self, node: ir.Node) -> None:
        """Give a node its types: of what it reads, of what it makes."""
        wide = node.op_type in WIDE
        for position, value in enumerate(node.inputs):
            if value is None or value.dtype not in {FLOAT, HALF}:
                continue
            wanted = FLOAT if wide or position in FIXED.get(node.op_type, ()) else HALF
            if value.dtype != wanted or value.is_initializer():
                scale = SCALES.get(node.op_type) == position
                node.replace_input_with(position, self.typed(value, wanted, before=node, scale=scale))
        if not wide:
            _narrow_attributes(node)
        for output in node.outputs:
            if output.dtype is None:
                raise UserError(
                    f"{node.name} ({node.op_type}) makes a value of no known type; TensorRT needs every one"
                )
            if output.dtype == FLOAT and not wide:
                output.dtype = HALF

    def typed(self, value: ir.Value, wanted: ir.DataType, *, before: ir.Node, scale: bool = False) -> ir.Value:
        """The value as `wanted`: a converted constant, or one Cast for all who ask."""
        name = str(value.name)
        if value.is_initializer() and value.dtype == wanted:
            return value
        if (name, wanted) not in self.made:
            suffix = "half" if wanted == HALF else "wide"
            make = self._constant if value.is_initializer() else self._cast
            self.made[name, wanted] = make(value, wanted, f"{name}_{suffix}", before)
        made = self.made[name, wanted]
        if scale and made.const_value is not None:
            made.const_value = ir.tensor(np.maximum(made.const_value.numpy(), TINIEST), name=made.name)
        return made

    def _constant(self, value: ir.Value, wanted: ir.DataType, name: str, _: ir.Node) -> ir.Value:
        assert value.const_value is not None
        array = np.clip(value.const_value.numpy(), -HALF_END, HALF_END)
        return editing.store(self.graph, name, array.astype(wanted.numpy()))

    def _cast(self, value: ir.Value, wanted: ir.DataType, name: str, before: ir.Node) -> ir.Value:
        made = ir.node("Cast", [value], {"to": wanted}, name=f"{name}_cast")
        (output,) = made.outputs
        output.name, output.shape, output.type = name, value.shape, ir.TensorType(wanted)
        self.graph.insert_before(before, made)
        return output

    def widen_output(self, value: ir.Value) -> ir.Value:
        """A float32 output under the name that the value had."""
        name = str(value.name)
        value.name = f"{name}_half"
        made = ir.node("Cast", [value], {"to": FLOAT}, name=f"{name}_cast")
        (output,) = made.outputs
        output.name, output.shape, output.type = name, value.shape, ir.TensorType(FLOAT)
        self.graph.append(made)
        return output


def _narrow_attributes(node: ir.Node) -> None:
    """Types and tensors that a node names itself."""
    for name, attribute in list(node.attributes.items()):
        if attribute.type == ir.AttributeType.INT and name in {"to", "dtype"} and attribute.value == FLOAT:
            node.attributes[name] = ir.AttrInt64(name, HALF)
        elif attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype == FLOAT:
            narrow = np.clip(attribute.value.numpy(), -HALF_END, HALF_END).astype(np.float16)
            node.attributes[name] = ir.AttrTensor(name, ir.tensor(narrow))
