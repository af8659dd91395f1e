import onnx_ir as ir
import pytest

from vitc.export.passes.known_shapes import KnownShapes

TEXT = """<ir_version: 10, opset_import: ["": 18]>
g (float[b,6,4] x, float[b,4,6] y, float[6,2] m) => (z)
<int64[4] four = {-1, 6, 2, 2}, int64[2] lost = {-1, 5}, int64[1] last = {-1}, float[4] row = {1, 2, 3, 4}>
{ z = NODE }"""


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        ("Transpose <perm=[2, 0, 1]> (x)", ["4", "b", "6"]),
        ("Reshape(x, four)", ["b", "6", "2", "2"]),
        ("Reshape(x, lost)", None),
        ("MatMul(x, y)", ["b", "6", "6"]),
        ("MatMul(y, m)", ["b", "4", "2"]),
        ("Add(row, x)", ["b", "6", "4"]),
        ("Add(x, y)", None),
        ("Softmax(x)", ["b", "6", "4"]),
        ("ReduceMax(x, last)", ["b", "6", "1"]),
        ("ReduceMax <keepdims=0> (x, last)", None),
        ("GreaterOrEqual(x, row)", ["b", "6", "4"]),
        ("Einsum <equation='bij->bj'> (x)".replace("'", '"'), None),
    ],
)
def test_what_follows_from_the_inputs_is_noted_and_nothing_else(node: str, shape: list[str] | None) -> None:
    model = ir.from_onnx_text(TEXT.replace("NODE", node))
    model.graph.outputs[0].shape = None
    result = KnownShapes()(model)
    found = model.graph[0].outputs[0].shape
    assert (found and [str(size) for size in found]) == shape
    assert result.modified == (shape is not None)
