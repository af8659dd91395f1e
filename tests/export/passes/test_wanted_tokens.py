import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from vitc.export.passes import run
from vitc.export.passes.known_shapes import KnownShapes
from vitc.export.passes.wanted_tokens import WantedTokens

HEAD = """<ir_version: 10, opset_import: ["": 21]>
g (float[b,5,4] x) => (RESULT)
<float[4,4] w, float[4] gain = {1, 2, 3, 4}, int64 second = {1}, int64 third = {2}, int64[4] heads = {-1, 5, 2, 2},
 int64[3] whole = {-1, 5, 4}, int64[1] last = {-1}, float s = {0.5}, uint8 u = {7}> { NODES }"""
MLP = """n = LayerNormalization <axis=-1> (x, gain)  q = QuantizeLinear(n, s, u)  d = DequantizeLinear(q, s, u)
         p = MatMul(d, w)  a = Add(p, gain)  y = Add(a, x)  z = Gather <axis=1> (y, second)"""
ATTENTION = """f = Reshape(x, heads)  q = Transpose <perm=[0, 2, 1, 3]> (f)  k = Transpose <perm=[0, 2, 3, 1]> (f)
  m = MatMul(q, k)  a = Softmax(m)  t = MatMul(a, q)  o = Transpose <perm=[0, 2, 1, 3]> (t)  y = Reshape(o, whole)
  z = Gather <axis=1> (y, second)"""
OF_ONE_BIT = ATTENTION.replace(
    "a = Softmax(m)", "l = ReduceMax(m, last)  c = Sub(l, s)  e = GreaterOrEqual(m, c)  a = Cast <to=1> (e)"
)
X = np.random.default_rng(0).standard_normal((3, 5, 4), dtype=np.float32)


def model(nodes: str, result: str = "float[b,4] z") -> ir.Model:
    weight = f"w = {{{', '.join(map(str, range(16)))}}},"
    text = HEAD.replace("NODES", nodes).replace("RESULT", result).replace("w,", weight, 1)
    made = ir.from_onnx_text(text)
    KnownShapes()(made)
    return made


def answers(made: ir.Model) -> list[NDArray[np.float32]]:
    return list(map(np.asarray, ReferenceEvaluator(ir.to_proto(made)).run(None, {"x": X})))


@pytest.mark.parametrize("nodes", [MLP, ATTENTION, OF_ONE_BIT], ids=["mlp", "attention", "of one bit"])
def test_what_one_token_needs_gives_the_same(nodes: str) -> None:
    made = model(nodes)
    wanted = answers(made)
    run(made, WantedTokens())
    np.testing.assert_allclose(answers(made)[0], wanted[0], rtol=1e-5)


@pytest.mark.parametrize(("nodes", "weighs"), [(ATTENTION, "Softmax"), (OF_ONE_BIT, "Cast")])
def test_all_but_keys_and_values_are_computed_for_one_token(nodes: str, weighs: str) -> None:
    made = model(nodes)
    WantedTokens()(made)
    shapes = {node.op_type: list(map(str, node.outputs[0].shape or ())) for node in made.graph}
    assert shapes[weighs] == ["b", "2", "1", "5"], "one query, all keys"
    keys = next(node for node in made.graph if node.op_type == "Reshape")
    assert keys.inputs[0] is made.graph.inputs[0]


def test_codes_are_cut_not_what_they_stand_for() -> None:
    made = model(
        "q = QuantizeLinear(x, s, u)  d = DequantizeLinear(q, s, u)  p = MatMul(d, w)  o = MatMul(d, w)  "
        "z = Gather <axis=1> (p, second)",
        "float[b,4] z, float[b,5,4] o",
    )
    wanted = answers(made)
    run(made, WantedTokens())
    for found, right in zip(answers(made), wanted, strict=True):
        np.testing.assert_allclose(found, right)
    cut = next(node for node in made.graph if node.op_type == "Slice")
    assert [node.op_type for node in (*cut.predecessors(), *cut.successors())] == ["QuantizeLinear", "DequantizeLinear"]


@pytest.mark.parametrize(
    ("nodes", "result"),
    [
        ("y = Relu(x)  z = Gather <axis=1> (y, second)  o = Gather <axis=1> (y, third)", "float[b,4] z, float[b,4] o"),
        ("y = Relu(x)  z = Gather <axis=1> (y, second)", "float[b,4] z, float[b,5,4] y"),
        ("y = Softmax <axis=1> (x)  z = Gather <axis=1> (y, second)", "float[b,4] z"),
        ("y = LayerNormalization <axis=1> (x, x)  z = Gather <axis=1> (y, second)", "float[b,4] z"),
        ("y = Mul(x, w)  z = Gather <axis=2> (y, second)", "float[b,5] z"),
    ],
    ids=["two tokens", "an output", "over the tokens", "norm over the tokens", "no such shape"],
)
def test_what_others_need_or_rows_that_know_each_other_stay(nodes: str, result: str) -> None:
    made = model(nodes, result)
    before = [node.op_type for node in made.graph]
    run(made, WantedTokens())
    assert [node.op_type for node in made.graph] == before


def test_a_value_that_is_not_the_programs_has_not_its_name() -> None:
    made = model(MLP)
    run(made, WantedTokens())
    names = {value.name for node in made.graph for value in node.outputs}
    assert names.isdisjoint({"n", "y", "a"})
    assert "z" in names
