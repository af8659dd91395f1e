"""Ones and zeros are multiplied as bytes, and the answer stays."""

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from vitc.export.passes import run
from vitc.export.passes.binary_shares import BinaryShares

runtime = pytest.importorskip("onnxruntime")
TEXT = """<ir_version: 10, opset_import: ["": 20]>
g (float[2,3,5,5] x, float[2,3,5,4] y) => (float[2,3,5,4] z)
<float e = {0.5}, float a = {0.02}, int8 u = {0}, float[3] as = {0.01, 0.02, 0.03}, int8[3] us = {0, 0, 0},
 float[3,1,1] s = {0.1, 0.2, 0.3}, float[1,1,5] columns = {1, 2, 3, 4, 5}> {
 t = GreaterOrEqual(x, e)  c = Cast<to = 1>(t)  p = Mul(c, SCALES)
 q = QuantizeLinear(y, a, u)  d = DequantizeLinear(q, a, u)
 h = QuantizeLinear <axis = 1> (y, as, us)  i = DequantizeLinear <axis = 1> (h, as, us)
 z = MatMul(p, VALUES) }"""


def models(scales: str = "s", values: str = "d") -> tuple[ir.Model, ir.Model]:
    """The model, and after the pass."""
    text = TEXT.replace("SCALES", scales).replace("VALUES", values)
    before, after = ir.from_onnx_text(text), ir.from_onnx_text(text)
    next(node for node in after.graph if node.op_type == "MatMul").name = "weighing"
    run(after, BinaryShares())
    return before, after


def answer(model: ir.Model) -> NDArray[np.float32]:
    session = runtime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    shapes = {"x": (2, 3, 5, 5), "y": (2, 3, 5, 4)}
    given = {name: random.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    found: NDArray[np.float32] = session.run(None, given)[0]
    return found


def test_a_product_of_truths_with_codes_becomes_one_of_bytes() -> None:
    before, after = models()
    np.testing.assert_allclose(answer(after), answer(before), rtol=1e-5, atol=1e-6)
    kinds = [node.op_type for node in after.graph]
    assert kinds == [
        "GreaterOrEqual", "QuantizeLinear", "DequantizeLinear", "Cast", "DequantizeLinear", "MatMul", "Mul",
    ]  # fmt: skip
    (product,) = (node for node in after.graph if node.op_type == "MatMul")
    assert product.name == "weighing"
    (cast,) = (node for node in after.graph if node.op_type == "Cast")
    assert cast.attributes["to"].as_int() == ir.DataType.UINT8


@pytest.mark.parametrize(
    ("scales", "values"), [("s", "y"), ("s", "i"), ("columns", "d")], ids=["floats", "many scales", "no matrix's scale"]
)
def test_others_stay(scales: str, values: str) -> None:
    before, after = models(scales, values)
    np.testing.assert_allclose(answer(after), answer(before), rtol=1e-6)
    (product,) = (node for node in after.graph if node.op_type == "MatMul")
    assert product.outputs[0] is after.graph.outputs[0]
    assert not any(value.dtype == ir.DataType.UINT8 for value in product.inputs if value is not None)
