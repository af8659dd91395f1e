"""Rounding to 8 bits, spelt out where it follows elementwise arithmetic: OpenVINO's FakeQuantize there costs more.

1. FakeQuantize over 256 levels with one range for the whole tensor is round(x / scale + zero_point), held to 0 to 255.
   Spelt as Round, Clamp and Convert, with the usual Convert, Subtract and Multiply back, the integer product behind it
   takes the codes as it takes those of a FakeQuantize.
2. Where x = a * y + b with constants a and b, as at the end of a LayerNorm, 1 / scale and zero_point go into a and b:
   two passes over the values are saved.
3. What follows a product stays a FakeQuantize: the product rounds its own result.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

LEVELS = 256


@dataclass(frozen=True)
class Rounding:
    """The grid of a FakeQuantize: x is about `scale * (code - zero_point)`, with codes from 0 to 255."""

    scale: np.float32
    zero_point: np.float32

    @classmethod
    def of(cls, node: Any) -> Self | None:
        """The grid, where the node has one for its whole tensor and gives back what it takes."""
        if node.get_type_name() != "FakeQuantize" or node.get_attributes()["levels"] != LEVELS:
            return None
        ends = [constant(node.input_value(index)) for index in range(1, 5)]
        if any(end is None or end.size != 1 for end in ends):
            return None
        low, high, *back = (np.float32(end.item()) for end in ends if end is not None)
        if back != [low, high] or not low < high:
            return None
        scale = np.float32((high - low) / (LEVELS - 1))
        return cls(scale, np.float32(np.round(-low / scale)))

    def rounded(self, codes: Any) -> Any:
        """The value that stands for codes not rounded yet: x / scale + zero_point."""
        from openvino import opset13 as op

        whole = op.convert(op.clamp(op.round(codes, "half_to_even"), 0, LEVELS - 1), "u8")
        return op.multiply(op.subtract(op.convert(whole, "f32"), op.constant(self.zero_point)), op.constant(self.scale))


def constant(value: Any) -> Any | None:
    """The data of a constant; None of anything else."""
    node = value.get_node()
    return node.get_data() if node.get_type_name() == "Constant" else None


def spell_out(model: Any) -> int:
    """Rewrite the model in place; how many places changed."""
    return sum(_spell_out(node) for node in model.get_ordered_ops())


def _spell_out(node: Any) -> bool:
    from openvino import opset13 as op

    grid = Rounding.of(node)
    if grid is None or (affine := _affine(node.input_value(0))) is None:
        return False
    values, factor, offset = affine
    factor, offset = factor / grid.scale, offset / grid.scale + grid.zero_point
    codes = op.add(op.multiply(values, op.constant(factor)), op.constant(offset))
    spelt = grid.rounded(codes)
    spelt.set_friendly_name(node.get_friendly_name())
    node.output(0).replace(spelt.output(0))
    return True


def _affine(value: Any) -> tuple[Any, Any, Any] | None:
    """(y, a, b) where the value is a * y + b and nobody else reads it or a * y."""
    add = value.get_node()
    if add.get_type_name() != "Add" or len(value.get_target_inputs()) != 1:
        return None
    scaled, offset = add.input_value(0), constant(add.input_value(1))
    multiply = scaled.get_node()
    if offset is None or multiply.get_type_name() != "Multiply" or len(scaled.get_target_inputs()) != 1:
        return None
    factor = constant(multiply.input_value(1))
    return None if factor is None else (multiply.input_value(0), factor, offset)
