from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from vitc.export.trt_int4 import pack_weights

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
COLUMNS = 6


def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(operator, inputs.split(), [output], name=f"{output}_node", **attributes)


def product(rows: int, *, clipped: bool = False) -> ir.Model:
    """A quantized linear from `x` [2, rows] to `y`, as ONNX's own form has it."""
    random = np.random.default_rng(0)
    constants = {
        "codes": random.integers(-7, 8, (rows, COLUMNS)).astype(np.int8),
        "scale": random.uniform(0.1, 0.2, COLUMNS).astype(np.float32),
        "step": np.float32(0.01),
        "zero": np.int8(0),
        "low": np.float32(-0.04),
        "high": np.float32(0.03),
    }
    source = "clipped" if clipped else "x"
    nodes = [node("Clip", "x low high", "clipped")] if clipped else []
    nodes += [
        node("QuantizeLinear", f"{source} step zero", "code"),
        node("DequantizeLinear", "code step zero", "rounded"),
        node("DequantizeLinear", "codes scale", "weight", axis=1),
        node("MatMul", "rounded weight", "y"),
    ]
    x, y = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, size])
        for name, size in (("x", rows), ("y", COLUMNS))
    )
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", [x], [y], stored)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    typed: ir.Model = ir.from_proto(onnx.shape_inference.infer_shapes(made))
    return typed


def constants(model: ir.Model) -> dict[str, Any]:
    tensors = {name: value.const_value for name, value in model.graph.initializers.items()}
    return {name: tensor.numpy() for name, tensor in tensors.items() if tensor is not None}


@pytest.mark.parametrize(("rows", "block"), [(256, 128), (192, 64), (96, 32)])
def test_codes_are_packed_with_a_scale_a_block(rows: int, block: int) -> None:
    model = product(rows)
    before = constants(model)
    assert pack_weights(model, {"codes": 4}) == ["y_node"]
    after = constants(model)
    assert [node.op_type for node in model.graph] == ["DequantizeLinear", "MatMul"], "nobody reads the rounded input"
    assert set(after) == {"codes_int4", "codes_blocks"}
    np.testing.assert_array_equal(after["codes_int4"].astype(np.int8), before["codes"])
    np.testing.assert_array_equal(after["codes_blocks"], np.tile(before["scale"], (rows // block, 1)))
    attributes = model.graph[0].attributes
    assert (attributes.get_int("axis"), attributes.get_int("block_size")) == (0, block)


def test_the_product_is_that_of_the_unrounded_input() -> None:
    model = product(64)
    before = constants(model)
    pack_weights(model, {"codes": 4})
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    options = runtime.SessionOptions()  # whose kernel for 4-bit weights would round the input
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    x = np.random.default_rng(1).standard_normal((2, 64)).astype(np.float32)
    (found,) = runtime.InferenceSession(proto.SerializeToString(), options).run(None, {"x": x})
    np.testing.assert_allclose(found, x @ (before["codes"] * before["scale"]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "bits"),
    [
        (product(64), {"codes": 8}),
        (product(64), {}),
        (product(40), {"codes": 4}),
        (product(64, clipped=True), {"codes": 4}),
    ],
    ids=["bytes", "unknown", "no block divides its rows", "rounded to fewer bits"],
)
def test_what_does_not_fit_is_left_alone(model: ir.Model, bits: dict[str, int]) -> None:
    operators = [node.op_type for node in model.graph]
    assert pack_weights(model, bits) == []
    assert [node.op_type for node in model.graph] == operators
    assert constants(model)["codes"].dtype == np.int8


def test_a_weight_that_two_products_read_is_packed_once() -> None:
    model = product(64)
    (first,) = (node for node in model.graph if node.op_type == "MatMul")
    second = ir.node("MatMul", list(first.inputs), name="second")
    second.outputs[0].name = "z"
    second.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    model.graph.append(second)
    model.graph.outputs.append(second.outputs[0])
    assert pack_weights(model, {"codes": 4}) == ["y_node", "second"]
    assert set(constants(model)) == {"codes_int4", "codes_blocks"}


def test_an_input_that_others_read_rounded_stays_for_them() -> None:
    model = product(64)
    rounded = model.graph[1].outputs[0]
    reader = ir.node("Relu", [rounded], name="reader")
    reader.outputs[0].name = "z"
    reader.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    model.graph.append(reader)
    model.graph.outputs.append(reader.outputs[0])
    assert pack_weights(model, {"codes": 4}) == ["y_node"]
    assert [node.op_type for node in model.graph].count("QuantizeLinear") == 1
