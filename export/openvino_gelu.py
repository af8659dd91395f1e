"""GELU in front of an 8-bit rounding, as a polynomial: OpenVINO computes the error function of every value otherwise.

1. gelu(x) = x * cdf(x). The normal distribution's cdf is taken as 1/2 + t * p(t * t) with t = x held to [-REACH, REACH]
   and p of degree 5; at the ends it is 0 and 1, so that the tails are 0 and x.
2. The coefficients minimize the largest error of x * cdf(x), which is below ERROR: as near as the tanh formula.
3. It is done only where FEWEST errors make no more than one step of the rounding that follows; a float result keeps the
   exact function.
"""

from typing import Any

import numpy as np

from .openvino_codes import Rounding

REACH = 3.7
COEFFICIENTS = (0.396475131, -0.0625877700, 0.00784871706, -0.000617504903, 2.68889798e-05, -4.89979175e-07)
ERROR = 5e-4
FEWEST = 8


def approximate_gelu(model: Any) -> int:
    """Rewrite the model in place; how many places changed."""
    return sum(_approximate(node) for node in model.get_ordered_ops() if node.get_type_name() == "Gelu")


def _approximate(gelu: Any) -> bool:
    readers = [reader.get_node() for reader in gelu.output(0).get_target_inputs()]
    if len(readers) != 1 or (grid := Rounding.of(readers[0])) is None or grid.scale < FEWEST * ERROR:
        return False
    spelt = grid.rounded(_codes(gelu.input_value(0), grid))
    spelt.set_friendly_name(readers[0].get_friendly_name())
    readers[0].output(0).replace(spelt.output(0))
    return True


def _codes(x: Any, grid: Rounding) -> Any:
    """gelu(x) / scale + zero_point."""
    from openvino import opset13 as op

    held = op.clamp(x, -REACH, REACH)
    square = op.multiply(held, held)
    *lower, highest = (op.constant(np.float32(coefficient)) for coefficient in COEFFICIENTS)
    polynomial = highest
    for coefficient in reversed(lower):
        polynomial = op.add(op.multiply(polynomial, square), coefficient)
    cdf = op.add(op.multiply(polynomial, held), op.constant(np.float32(0.5)))
    scaled = op.multiply(x, op.constant(np.float32(1 / grid.scale)))
    return op.add(op.multiply(scaled, cdf), op.constant(grid.zero_point))
