"""Values are rounded to 8 bits before they are moved, not after: OpenVINO then rounds inside the product they come of.

1. A FakeQuantize with one range for the whole tensor gives the same result before and after a Reshape, a Transpose, a
   Squeeze or an Unsqueeze.
2. Where such moves stand between it and the attention or the matrix product that feeds it, and nobody else reads what
   lies between, it changes places with all of them.
3. In front of moved pixels it stays: there bytes are not moved faster than floats.
"""

from typing import Any

import numpy as np

MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze")
PRODUCTS = ("ScaledDotProductAttention", "MatMul")


def round_before_moving(model: Any) -> int:
    """Rewrite the model in place; how many places changed."""
    return sum(_hoist(node) for node in model.get_ordered_ops() if node.get_type_name() == "FakeQuantize")


def _hoist(rounding: Any) -> bool:
    from openvino import opset13 as op

    ends = [rounding.input_value(index).get_node() for index in range(1, 5)]
    if any(end.get_type_name() != "Constant" or end.get_data().size != 1 for end in ends):
        return False
    last = first = rounding.input_value(0)
    while first.get_node().get_type_name() in MOVES and len(first.get_target_inputs()) == 1:
        move, first = first.get_node(), first.get_node().input_value(0)
    if first == last or first.get_node().get_type_name() not in PRODUCTS or len(first.get_target_inputs()) != 1:
        return False
    scalars = [op.constant(np.float32(end.get_data().item())) for end in ends]
    early = op.fake_quantize(first, *scalars, rounding.get_attributes()["levels"])
    early.set_friendly_name(rounding.get_friendly_name())
    move.input(0).replace_source_output(early.output(0))
    rounding.output(0).replace(last)
    return True
