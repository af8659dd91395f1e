import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from vitc.export.passes import run
from vitc.export.passes.split_projection import SplitProjection

Floats = NDArray[np.float32]
HEAD = """<ir_version: 10, opset_import: ["": 18]>
g (float[b,5,2] x) => (float[b,d,5,e] z)
<float[2,12] w, float[12] bias, int64[5] sizes = {SIZES}, int64 i0 = {0}, int64 i1 = {1}, int64 i2 = {2},
 int64[1] s0 = {0}, int64[1] s1 = {1}, int64[1] s2 = {2}, int64[1] s3 = {3}> {
 p = MatMul(x, w)  y = Add(p, bias)  r = Reshape(y, sizes)  t = Transpose <perm=[PERM]> (r) PARTS
 m = Mul(k, v)  z = Add(m, q) }"""
GATHERS = "q = Gather <axis=0> (t, i0)  k = Gather <axis=0> (t, i1)  v = Gather <axis=0> (t, i2)"
SLICES = """a = Slice(t, s0, s1, s0)  q = Squeeze(a, s0)  b2 = Slice(t, s1, s2, s0)  k = Squeeze(b2, s0)
            c = Slice(t, s2, s3, s0)  v = Squeeze(c, s0)"""
BLOCKS, WOVEN = ("-1,5,3,2,2", "2,0,3,1,4"), ("-1,5,2,3,2", "3,0,2,1,4")


def model(sizes: str, permutation: str, parts: str) -> ir.Model:
    text = HEAD.replace("SIZES", sizes).replace("PERM", permutation).replace("PARTS", parts)
    text = text.replace("w,", f"w = {{{', '.join(map(str, range(24)))}}},").replace(
        "bias,", f"bias = {{{', '.join(map(str, range(12)))}}},"
    )
    return ir.from_proto(onnx.shape_inference.infer_shapes(ir.to_proto(ir.from_onnx_text(text))))


def answer(made: ir.Model, x: Floats) -> Floats:
    (found,) = ReferenceEvaluator(ir.to_proto(made)).run(None, {"x": x})
    assert isinstance(found, np.ndarray)
    return found


@pytest.mark.parametrize("layout", [BLOCKS, WOVEN], ids=["one after another", "head by head"])
@pytest.mark.parametrize("parts", [GATHERS, SLICES], ids=["gathers", "slices"])
def test_each_part_gets_a_linear_of_its_own_columns(layout: tuple[str, str], parts: str) -> None:
    whole = model(*layout, parts)
    x = np.random.default_rng(0).standard_normal((3, 5, 2), dtype=np.float32)
    wanted = answer(whole, x)
    run(whole, SplitProjection())
    kinds = [node.op_type for node in whole.graph]
    assert (kinds.count("MatMul"), kinds.count("Transpose")) == (3, 3)
    assert not {"Gather", "Slice", "Squeeze"} & set(kinds)
    np.testing.assert_allclose(answer(whole, x), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("permutation", "parts"),
    [
        (
            "2,0,3,1,4",
            GATHERS.replace("v = Gather <axis=0> (t, i2)", "u = ReduceSum <keepdims=0> (t, s0)  v = Relu(u)"),
        ),
        ("2,0,3,1,4", SLICES.replace("Slice(t, s2, s3, s0)", "Slice(t, s2, s3, s0, s1)").replace("(c, s0)", "(c)")),
    ],
    ids=["summed", "squeezed blindly"],
)
def test_what_is_read_otherwise_stays_whole(permutation: str, parts: str) -> None:
    whole = model("-1,5,3,2,2", permutation, parts)
    run(whole, SplitProjection())
    assert [node.op_type for node in whole.graph].count("MatMul") == 1
