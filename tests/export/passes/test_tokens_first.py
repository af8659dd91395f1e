import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from vitc.export.passes import run
from vitc.export.passes.known_shapes import KnownShapes
from vitc.export.passes.tokens_first import TokensFirst

HEAD = """<ir_version: 10, opset_import: ["": 21]>
g (float[b,5,4] x) => (float[b,5,4] z)
<float[4,4] w, float[4] bias = {1, 2, 3, 4}, int64[4] heads = {-1, 5, 2, 2}, int64[3] whole = {-1, 5, 4},
 float half = {0.5}, float[2,1,1] halves = {0.5, 0.25}, float s = {0.05}, uint8 u = {128},
 float[5] mask = {0, 0, 0, 0, -9}, float[4,1] sum = {1, 1, 1, 1}, int64[4] alike = {-1, 1, 1, 5}> {
READ
a1 = MatMul(d, w)  a2 = Add(a1, bias)  a3 = Reshape(a2, heads)  q = Transpose <perm=[0, 2, 1, 3]> (a3)
b1 = MatMul(d, w)  b3 = Reshape(b1, heads)  k = Transpose <perm=[0, 2, 3, 1]> (b3)
c1 = MatMul(d, w)  c2 = Add(c1, bias)  c3 = Reshape(c2, heads)  v = Transpose <perm=[0, 2, 1, 3]> (c3)
WEIGH
o = MatMul(p, v)  t = Transpose <perm=[0, 2, 1, 3]> (o)  z = Reshape(t, whole) }"""
FLOAT, CODES = "d = Identity(x)", "e = QuantizeLinear(x, s, u)  d = DequantizeLinear(e, s, u)"
SCALED = "qs = Mul(q, half)  m = MatMul(qs, k)  p = Softmax(m)"
MASKED = "s0 = MatMul(x, sum)  s1 = Reshape(s0, alike)  m = MatMul(q, k)  n = Add(m, s1)  p = Softmax(n)"
X = np.random.default_rng(0).standard_normal((3, 5, 4), dtype=np.float32)


def model(read: str, weigh: str) -> ir.Model:
    weight = f"w = {{{', '.join(str(0.1 * number) for number in range(16))}}},"
    made = ir.from_onnx_text(HEAD.replace("READ", read).replace("WEIGH", weigh).replace("w,", weight, 1))
    made.graph[0].outputs[0].shape = made.graph.inputs[0].shape
    KnownShapes()(made)
    return made


def answer(made: ir.Model) -> NDArray[np.float32]:
    (found,) = ReferenceEvaluator(ir.to_proto(made)).run(None, {"x": X})
    return np.asarray(found)


@pytest.mark.parametrize("read", [FLOAT, CODES], ids=["float", "codes"])
@pytest.mark.parametrize(
    "weigh", [SCALED, "m = MatMul(q, k)  p = Softmax(m)", MASKED], ids=["scaled", "plain", "masked"]
)
def test_heads_are_read_where_they_lie(read: str, weigh: str) -> None:
    made = model(read, weigh)
    wanted = answer(made)
    run(made, TokensFirst())
    np.testing.assert_allclose(answer(made), wanted, rtol=1e-4, atol=1e-6)
    turns = [node for node in made.graph if node.op_type == "Transpose"]
    assert [list(node.attributes["perm"].as_ints()) for node in turns].count([0, 2, 1, 3]) == 1, "the result's own"
    codes = [node for node in turns if node.predecessors() and node.predecessors()[0].op_type == "QuantizeLinear"]
    assert len(codes) == (read == CODES)


@pytest.mark.parametrize(
    "weigh",
    [
        "m = MatMul(q, k)  n = Add(m, mask)  p = Softmax(n)",
        "qs = Mul(q, halves)  m = MatMul(qs, k)  p = Softmax(m)",
        "m = MatMul(q, k)  n = Softmax(m)  p = Add(n, m)",
    ],
    ids=["a mask", "a scale for every head", "read beside"],
)
def test_what_would_not_fit_stays(weigh: str) -> None:
    made = model(CODES, weigh)
    before = [node.op_type for node in made.graph]
    run(made, TokensFirst())
    assert [node.op_type for node in made.graph] == before
