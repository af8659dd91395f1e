"""GELU in front of an 8-bit rounding, as a polynomial: OpenVINO computes the error function of every value otherwise.

1. gelu(x) = x * cdf(x). The normal distribution's cdf is taken as 1/2 + t * p(t * t), with a polynomial p and t = x
   held to [-reach, reach]; at the ends it is 0 and 1, so that the tails are 0 and x.
2. The coefficients minimize the largest error of x * cdf(x). The shortest polynomial is taken of which FEWEST errors
   make no more than one step of the rounding that follows, and its coefficients are divided by that step.
3. Where none is that near, and where the result is read as a float, the function stays exact.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .openvino_codes import Rounding

FEWEST = 8


@dataclass(frozen=True)
class Polynomial:
    """p, from its lowest coefficient to its highest; `error` is more than the largest one of x * cdf(x)."""

    reach: float
    error: float
    coefficients: tuple[float, ...]


POLYNOMIALS = (
    Polynomial(3.4, 1.2e-3, (0.393858427, -0.0593871585, 0.00658670008, -0.000400922479, 1.00156195e-05)),
    Polynomial(
        3.65, 5e-4, (0.396530183, -0.0626539775, 0.00787385851, -0.000621586325, 2.71850305e-05, -4.97868694e-07)
    ),
)


def approximate_gelu(model: Any) -> int:
    """Rewrite the model in place; how many places changed."""
    return sum(_approximate(node) for node in model.get_ordered_ops() if node.get_type_name() == "Gelu")


def _approximate(gelu: Any) -> bool:
    readers = [reader.get_node() for reader in gelu.output(0).get_target_inputs()]
    if len(readers) != 1 or (grid := Rounding.of(readers[0])) is None:
        return False
    near = [polynomial for polynomial in POLYNOMIALS if FEWEST * polynomial.error <= grid.scale]
    if not near:
        return False
    spelt = grid.rounded(_codes(gelu.input_value(0), near[0], grid))
    spelt.set_friendly_name(readers[0].get_friendly_name())
    readers[0].output(0).replace(spelt.output(0))
    return True


def _codes(x: Any, polynomial: Polynomial, grid: Rounding) -> Any:
    """gelu(x) / scale + zero_point."""
    from openvino import opset13 as op

    held = op.clamp(x, -polynomial.reach, polynomial.reach)
    square = op.multiply(held, held)
    *lower, total = (op.constant(np.float32(coefficient / grid.scale)) for coefficient in polynomial.coefficients)
    for coefficient in reversed(lower):
        total = op.add(op.multiply(total, square), coefficient)
    share = op.add(op.multiply(total, held), op.constant(np.float32(0.5 / grid.scale)))
    return op.add(op.multiply(x, share), op.constant(grid.zero_point))
