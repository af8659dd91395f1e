import pytest

from vitc.runtimes.mil_constexpr import CONSTEXPR
from vitc.runtimes.mil_elementwise import ELEMENTWISE
from vitc.runtimes.mil_image import IMAGE
from vitc.runtimes.mil_linear import LINEAR
from vitc.runtimes.mil_normalization import NORMALIZATION
from vitc.runtimes.mil_ops import EXACT, OPERATORS
from vitc.runtimes.mil_shape import SHAPE


def test_no_operator_stands_in_two_families() -> None:
    families = (CONSTEXPR, ELEMENTWISE, IMAGE, LINEAR, NORMALIZATION, SHAPE)
    assert len(OPERATORS) == sum(map(len, families))


def test_every_operator_is_one_of_core_mls() -> None:
    pytest.importorskip("coremltools")
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    assert set(OPERATORS) <= set(SSAOpRegistry.core_ops)


def test_what_moves_values_computes_none() -> None:
    assert EXACT.issubset(OPERATORS)
    assert not EXACT & {"conv", "linear", "matmul", "softmax", "layer_norm", "add", "gelu", "dequantize"}
