import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from vitc.export.passes import run
from vitc.export.passes.early_quantize import EarlyQuantize

HEAD = """<ir_version: 10, opset_import: ["": 21]>
g (float[2,3] x) => (uint8[3,2] z OTHER)
<int64[2] shape = {3, 2}, float one = {0.5}, uint8 zero = {9}, float[2] two = {0.5, 1}, uint8[2] zeros = {9, 9}> {
  t = Transpose <perm=[1, 0]> (x)  r = Reshape(t, shape)  c = QuantizeLinear <axis=1> (r, SCALE)  z = Identity(c) }"""
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def kinds(text: str) -> list[str]:
    """The nodes after the pass, which must give what they gave before."""
    model = ir.from_onnx_text(text)
    wanted = ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": X})
    run(model, EarlyQuantize())
    for found, right in zip(ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": X}), wanted, strict=True):
        np.testing.assert_array_equal(found, right)
    return [node.op_type for node in model.graph]


def test_codes_are_moved_about() -> None:
    text = HEAD.replace("SCALE", "one, zero").replace("OTHER", "")
    assert kinds(text) == ["QuantizeLinear", "Transpose", "Reshape", "Identity"]


@pytest.mark.parametrize(
    ("scale", "other"),
    [("two, zeros", ""), ("one, zero", ", float[3,2] r")],
    ids=["a scale a column", "read as floats"],
)
def test_floats_that_are_needed_stay(scale: str, other: str) -> None:
    text = HEAD.replace("SCALE", scale).replace("OTHER", other)
    assert kinds(text) == ["Transpose", "Reshape", "QuantizeLinear", "Identity"]
