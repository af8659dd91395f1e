import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from vitc.export.passes import run
from vitc.export.passes.linears import columns, linear

HEAD = """<ir_version: 10, opset_import: ["": 21]>
g (float[b,2] x, float[2,4] y) => (float[b,4] z)
<float[2,4] w = {1, 2, 3, 4, 5, 6, 7, 8}, int8[2,4] c = {1, 2, 3, 4, 5, 6, 7, 8}, float[4] s = {1, 2, 3, 4},
 float[1,4] bias = {10, 20, 30, 40}>"""
X = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)
FLOAT = "p = MatMul(x, w)  z = Add(bias, p)"
CODES = "d = DequantizeLinear <axis=1> (c, s)  p = MatMul(x, d)  z = Add(p, bias)"


@pytest.mark.parametrize("nodes", [FLOAT, CODES, "z = MatMul(x, w)"], ids=["float", "codes", "no bias"])
def test_some_columns_of_a_linear_are_a_linear(nodes: str) -> None:
    model = ir.from_onnx_text(HEAD + "{" + nodes + "}")
    (wanted,) = ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": X, "y": np.zeros((2, 4), np.float32)})
    layer = linear(model.graph.outputs[0])
    assert layer is not None
    assert (layer.x.name, layer.output.name) == ("x", "z")
    model.graph.outputs[0] = columns(layer, np.array([3, 1]), 0)
    run(model)
    (found,) = ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": X, "y": np.zeros((2, 4), np.float32)})
    np.testing.assert_array_equal(found, np.asarray(wanted)[:, [3, 1]])


@pytest.mark.parametrize(
    "nodes",
    [
        "z = MatMul(x, y)",
        "p = MatMul(x, w)  z = Add(p, p)",
        "z = Relu(x)",
        "p = MatMul(x, w)  q = Relu(p)  z = Add(p, q)",
    ],
)
def test_what_has_no_stored_weights_or_is_read_inside_is_none(nodes: str) -> None:
    assert linear(ir.from_onnx_text(HEAD + "{" + nodes + "}").graph.outputs[0]) is None
