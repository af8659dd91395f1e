"""All operators of MIL that the interpreter knows, by name."""

from .mil_arguments import Operator
from .mil_constexpr import CONSTEXPR
from .mil_elementwise import ELEMENTWISE
from .mil_image import IMAGE
from .mil_linear import LINEAR
from .mil_normalization import NORMALIZATION
from .mil_shape import SHAPE

OPERATORS: dict[str, Operator] = {**ELEMENTWISE, **SHAPE, **LINEAR, **NORMALIZATION, **CONSTEXPR, **IMAGE}

EXACT = frozenset(SHAPE)
"""Operators whose results are values of their inputs: there is nothing to round."""
