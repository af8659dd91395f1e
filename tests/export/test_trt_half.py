from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from vitc.errors import UserError
from vitc.export.trt_half import to_half

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
FLOAT, HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16


def model(nodes: list[Any], **constants: Any) -> ir.Model:
    """A model from `x` [2, 4] to `y`, with the types of everything in between."""
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, 4]) for name in "xy")
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", [x], [y], stored)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    typed: ir.Model = ir.from_proto(onnx.shape_inference.infer_shapes(made))
    return typed


def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(operator, inputs.split(), [output], name=f"{output}_node", **attributes)


def run(made: ir.Model, x: Any) -> Any:
    proto = ir.to_proto(made)
    onnx.checker.check_model(proto, full_check=True)
    return runtime.InferenceSession(proto.SerializeToString()).run(None, {"x": np.asarray(x, np.float32)})[0]


def operators(made: ir.Model) -> list[str]:
    return [node.op_type for node in made.graph]


def test_products_are_half_and_the_ends_are_single() -> None:
    weight = np.eye(4, dtype=np.float32) / 3
    made = model([node("MatMul", "x w", "y")], w=weight)
    to_half(made)
    assert operators(made) == ["Cast", "MatMul", "Cast"]
    (product,) = (node for node in made.graph if node.op_type == "MatMul")
    assert [value.dtype for value in (*product.inputs, *product.outputs) if value is not None] == [HALF] * 3
    assert [value.name for value in made.graph.outputs] == ["y"]
    x = np.arange(8).reshape(2, 4)
    np.testing.assert_allclose(run(made, x), x @ weight, rtol=1e-3)


def test_squares_that_half_cannot_hold_are_summed_in_single() -> None:
    """Between neighbours that are both wide no value is narrowed."""
    nodes = [
        node("Pow", "x two", "square"),
        node("ReduceMean", "square axes", "mean", keepdims=1),
        node("Sqrt", "mean", "root"),
        node("Div", "x root", "y"),
    ]
    made = model(nodes, two=np.float32(2), axes=np.array([1]))
    to_half(made)
    assert operators(made)[:3] == ["Pow", "ReduceMean", "Sqrt"]
    assert {value.dtype for node in list(made.graph)[:3] for value in node.outputs} == {FLOAT}
    np.testing.assert_allclose(run(made, np.full((2, 4), 1000.0)), np.ones((2, 4)))


def test_one_cast_serves_all_readers() -> None:
    nodes = [
        node("Relu", "x", "a"),
        node("LayerNormalization", "a gain", "b"),
        node("Exp", "a", "c"),
        node("Add", "b c", "d"),
        node("Add", "d b", "y"),
    ]
    made = model(nodes, gain=np.ones(4, np.float32))
    to_half(made)
    assert operators(made).count("Cast") == 5, "of the input, of a, of b, of c and of the output"
    assert made.graph.initializers["gain"].dtype == FLOAT


def test_a_constant_for_both_kinds_of_readers_is_stored_twice() -> None:
    made = model([node("LayerNormalization", "x gain", "a"), node("Mul", "a gain", "y")], gain=np.ones(4, np.float32))
    to_half(made)
    assert {value.dtype for value in made.graph.initializers.values()} == {FLOAT, HALF}
    assert run(made, np.eye(4)[:2]).shape == (2, 4)


def test_constants_end_where_half_ends() -> None:
    """A mask of the lowest single is as good as the lowest half; as an infinity it would become NaN."""
    made = model([node("Add", "x mask", "a"), node("Softmax", "a", "y")], mask=np.finfo(np.float32).min)
    to_half(made)
    assert np.isfinite(run(made, np.eye(4)[:2])).all()


def test_scales_stay_above_zero() -> None:
    nodes = [
        node("QuantizeLinear", "x tiny zero", "codes"),
        node("DequantizeLinear", "codes tiny zero", "y"),
    ]
    made = model(nodes, tiny=np.float32(1e-12), zero=np.int8(0))
    to_half(made)
    (scale,) = (value for value in made.graph.initializers.values() if value.dtype == HALF)
    assert scale.const_value is not None
    assert scale.const_value.numpy() > 0


def test_casts_to_single_become_casts_to_half() -> None:
    nodes = [
        node("Cast", "x", "whole", to=onnx.TensorProto.INT32),
        node("Cast", "whole", "again", to=onnx.TensorProto.FLOAT),
        node("Mul", "again x", "y"),
    ]
    made = model(nodes)
    to_half(made)
    np.testing.assert_array_equal(run(made, np.full((2, 4), 3.5)), np.full((2, 4), 10.5))


def test_scales_of_a_resize_stay_single() -> None:
    nodes = [
        node("Reshape", "x image", "a"),
        node("Resize", "a  factors", "b", mode="nearest"),
        node("Reshape", "b flat", "y"),
    ]
    nodes[1].input[:] = ["a", "", "factors"]
    made = model(
        nodes,
        image=np.array([1, 1, 2, 4]),
        factors=np.array([1, 1, 1, 1], np.float32),
        flat=np.array([2, 4]),
    )
    to_half(made)
    x = np.arange(8).reshape(2, 4)
    np.testing.assert_array_equal(run(made, x), x)


def test_a_value_of_no_type_is_refused() -> None:
    made = model([node("Relu", "x", "a"), node("Relu", "a", "y")])
    made.graph[0].outputs[0].type = None
    with pytest.raises(UserError, match=r"a_node \(Relu\) makes a value of no known type"):
        to_half(made)
