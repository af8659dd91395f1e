import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from vitc.export.passes import run
from vitc.export.passes.integer_linear import IntegerLinear
from vitc.export.passes.known_shapes import KnownShapes

runtime = pytest.importorskip("onnxruntime")
HEAD = """<ir_version: 10, opset_import: ["": 21]>
g (float[SHAPE] x) => (float[RESULT] z)
<int8[2,3] w = {1, -2, 3, -4, 5, -6}, float[3] s = {1, 2, 3}, float a = {0.05}, uint8 u = {100}, int64[1] first = {0},
 float[1,1,3] row = {10, 20, 30}, float[1,4,3] rows = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}> {
 q = QuantizeLinear(x, a, u)  d = DequantizeLinear(q, a, u)  e = DequantizeLinear <axis=1> (w, s)  p = MatMul(d, e)
 NODES }"""


def rewritten(nodes: str, shape: tuple[int, ...], result: str) -> ir.Model:
    """The model after the pass, which must answer as before."""
    text = HEAD.replace("SHAPE", ",".join(map(str, shape))).replace("RESULT", result)
    model = ir.from_onnx_text(text.replace("NODES", nodes))
    KnownShapes()(model)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    wanted = answer(model, x)
    run(model, IntegerLinear())
    np.testing.assert_allclose(answer(model, x), wanted, rtol=1e-5)
    return model


def answer(model: ir.Model, x: NDArray[np.float32]) -> NDArray[np.float32]:
    session = runtime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {"x": x})[0]
    return found


@pytest.mark.parametrize(
    ("nodes", "shape", "result"),
    [
        ("z = Add(p, row)", (2, 4, 2), "2,4,3"),
        ("y = Add(p, row)  z = Squeeze(y, first)", (4, 2), "4,3"),
        ("y = Add(p, row)  z = Squeeze(y, first)", (1, 4, 2), "4,3"),
        ("z = Identity(p)", (2, 4, 2), "2,4,3"),
        ("z = Add(p, rows)", (2, 4, 2), "2,4,3"),
    ],
    ids=["three", "two", "a squeeze of its own", "no bias", "many rows"],
)
def test_a_linear_becomes_one_operator_with_a_row_inside(nodes: str, shape: tuple[int, ...], result: str) -> None:
    model = rewritten(nodes, shape, result)
    kinds = [node.op_type for node in model.graph]
    assert kinds[:2] == ["QuantizeLinear", "MatMulIntegerToFloat"]
    assert ("Add" in kinds) == ("rows" in nodes)
    assert ("Squeeze" in kinds) == (shape == (1, 4, 2))
    assert model.opset_imports == {"": 21, "com.microsoft": 1}


def test_the_operator_keeps_the_name_of_the_product() -> None:
    text = HEAD.replace("SHAPE", "4,2").replace("RESULT", "4,3").replace("NODES", "z = Identity(p)")
    model = ir.from_onnx_text(text)
    next(node for node in model.graph if node.op_type == "MatMul").name = "head"
    run(model, IntegerLinear())
    assert [node.op_type for node in model.graph if node.name == "head"] == ["MatMulIntegerToFloat"]


def test_float_linears_stay_standard() -> None:
    text = """<ir_version: 10, opset_import: ["": 21]>
    g (float[4,2] x) => (float[4,3] z) <float[2,3] w = {1, 2, 3, 4, 5, 6}> { z = MatMul(x, w) }"""
    model = ir.from_onnx_text(text)
    run(model, IntegerLinear())
    assert [node.op_type for node in model.graph] == ["MatMul"]
    assert model.opset_imports == {"": 21}
