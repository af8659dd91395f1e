from typing import Any

import onnx_ir as ir
import pytest

from vitc.export.trt_operators import SUPPORTED, restriction

onnx = pytest.importorskip("onnx")


def test_the_supported_operators_are_operators_of_onnx() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    assert not SUPPORTED - known
    assert {"MatMul", "Conv", "LayerNormalization", "Gelu", "Softmax", "QuantizeLinear"} <= SUPPORTED
    assert not {"BitShift", "BitwiseAnd", "MatMulInteger", "QLinearConv", "DynamicQuantizeLinear", "Loop"} & SUPPORTED


@pytest.mark.parametrize(
    ("operator", "attributes", "told"),
    [
        ("Resize", {"mode": "cubic"}, "mode cubic"),
        ("Resize", {"mode": "linear", "antialias": 1}, "antialiasing"),
        ("MaxPool", {"dilations": [2, 2]}, "dilations"),
        ("ScatterND", {"reduction": "add"}, "reduction add"),
    ],
)
def test_uses_that_the_parser_does_not_take_are_told(operator: str, attributes: dict[str, Any], told: str) -> None:
    assert told in str(restriction(ir.node(operator, [], attributes)))


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("Resize", {"mode": "linear", "antialias": 0}),
        ("Resize", {}),
        ("MaxPool", {"dilations": [1, 1]}),
        ("ScatterND", {}),
        ("MatMul", {}),
    ],
)
def test_other_uses_are_taken(operator: str, attributes: dict[str, Any]) -> None:
    assert restriction(ir.node(operator, [], attributes)) is None


def test_a_second_output_of_layernorm_is_told_only_where_it_is_read() -> None:
    made = ir.node("LayerNormalization", [], num_outputs=2)
    assert restriction(made) is None
    ir.node("Relu", [made.outputs[1]])
    assert "second output" in str(restriction(made))
