import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from vitc.export.passes import run
from vitc.export.passes.known_shapes import KnownShapes
from vitc.export.passes.merge_views import MergeViews

TEXT = """<ir_version: 10, opset_import: ["": 18]>
g (float[b,6,4] x) => (float[a,c,d] z)
<int64[4] image = {-1, 4, 2, 3}, int64[3] rows = {-1, 4, 6}, int64[3] kept = {0, 4, 6}, int64[3] same = {-1, 6, 4},
 int64[1] zero = {0}, int64[1] one = {1}, int64[1] end = {9223372036854775807}> { NODES  z = Identity(y) }"""
X = np.arange(48, dtype=np.float32).reshape(2, 6, 4)
ROUND_TRIP = """t = Transpose <perm=[0, 2, 1]> (x)  i = Reshape(t, image)
                r = Reshape(i, rows)  y = Transpose <perm=[0, 2, 1]> (r)"""


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        (ROUND_TRIP, []),
        ("t = Transpose <perm=[1, 2, 0]> (x)  y = Transpose <perm=[0, 2, 1]> (t)", ["Transpose"]),
        ("i = Reshape(x, image)  y = Reshape(i, rows)", ["Reshape"]),
        ("y = Reshape(x, same)", []),
        ("y = Transpose <perm=[0, 1, 2]> (x)", []),
        ("y = Slice(x, zero, end, one)", []),
        ("y = Slice(x, one, end, one)", ["Slice"]),
        ("i = Reshape(x, image)  y = Reshape(i, kept)", ["Reshape", "Reshape"]),
    ],
    ids=["round trip", "transposes", "reshapes", "same shape", "nothing moves", "all", "not all", "copies a size"],
)
def test_views_become_the_fewest_that_give_the_same(nodes: str, left: list[str]) -> None:
    text = TEXT.replace("NODES", nodes)
    model = ir.from_onnx_text(text)
    (wanted,) = ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": X})
    run(model, KnownShapes(), MergeViews())
    assert [node.op_type for node in model.graph] == [*left, "Identity"]
    (found,) = ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": X})
    np.testing.assert_array_equal(found, wanted)


def test_an_inner_view_that_others_read_stays() -> None:
    text = TEXT.replace(
        "NODES", "t = Transpose <perm=[0, 2, 1]> (x)  u = Transpose <perm=[0, 2, 1]> (t)  y = Add(t, u)"
    )
    model = ir.from_onnx_text(text.replace("float[b,6,4]", "float[b,4,4]"))
    run(model, MergeViews())
    assert [node.op_type for node in model.graph] == ["Transpose", "Add", "Identity"]
