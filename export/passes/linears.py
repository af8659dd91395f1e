"""How a linear layer looks in the graph: MatMul of an input with stored weights, then Add of a stored bias."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from . import editing


@dataclass(frozen=True)
class Linear:
    """The parts of one; all weights are [K, N]."""

    product: ir.Node
    """The MatMul."""
    dequantize: ir.Node | None
    """What makes its weights of codes; None where they are floats."""
    add: ir.Node | None
    """What adds the bias."""

    @property
    def x(self) -> ir.Value:
        """What the layer reads."""
        value = self.product.inputs[0]
        assert value is not None
        return value

    @property
    def weight(self) -> ir.Value:
        """The codes, or the float weights."""
        value = self.dequantize.inputs[0] if self.dequantize else self.product.inputs[1]
        assert value is not None
        return value

    @property
    def scale(self) -> ir.Value | None:
        """One scale a column."""
        return self.dequantize.inputs[1] if self.dequantize else None

    @property
    def bias(self) -> ir.Value | None:
        """What is added."""
        if self.add is None:
            return None
        return next(value for value in self.add.inputs if value is not self.product.outputs[0])

    @property
    def output(self) -> ir.Value:
        """What the layer gives."""
        return (self.add or self.product).outputs[0]


def linear(output: ir.Value | None) -> Linear | None:
    """The layer that gives a value, if it is one, and nothing else reads what is inside it."""
    add = editing.made_by(output, "Add")
    if add is not None:
        products = [value for value in add.inputs if editing.made_by(value, "MatMul")]
        others = [value for value in add.inputs if editing.constant(value) is not None]
        if len(products) != 1 or len(others) != 1 or editing.only_reader(products[0]) is not add:  # type: ignore[arg-type]
            return None
        output = products[0]
    product = editing.made_by(output, "MatMul")
    if product is None:
        return None
    dequantize = editing.made_by(product.inputs[1], "DequantizeLinear")
    weight = editing.constant(dequantize.inputs[0] if dequantize else product.inputs[1])
    return Linear(product, dequantize, add) if weight is not None and weight.ndim == 2 else None


def columns(layer: Linear, which: NDArray[np.intp], part: int) -> ir.Value:
    """A linear with some columns of another, in front of its MatMul: the same sums."""
    before = layer.product

    def some(value: ir.Value) -> ir.Value:
        array = editing.constant(value)
        assert array is not None
        chosen = array[..., which] if array.shape[-1] > 1 else array
        return editing.store(editing.graph_of(before), f"{value.name}/{part}", chosen)

    weight = some(layer.weight)
    if layer.scale is not None:
        weight = editing.put(before, "DequantizeLinear", (weight, some(layer.scale)), {"axis": 1})
    result = editing.put(before, "MatMul", (layer.x, weight), name=f"{before.name}_{part}")
    return result if layer.bias is None else editing.put(before, "Add", (result, some(layer.bias)))
