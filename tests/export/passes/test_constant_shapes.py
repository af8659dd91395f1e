import onnx_ir as ir
import pytest

from vitc.export.passes import editing, run
from vitc.export.passes.constant_shapes import ConstantShapes

TEXT = """<ir_version: 10, opset_import: ["": 18]>
g (float[b,6,4] x) => (float[RESULT] z) <int64[1] rest = {SIZE}> {
  n = Shape <start=0, end=1> (x)
  shape = Concat <axis=0> (n, rest)
  y = Reshape <allowzero=1> (x, shape)
  z = Identity(y)
}"""


def rewritten(result: str, shape: list[str | int] | None) -> ir.Model:
    model = ir.from_onnx_text(TEXT.replace("RESULT", result).replace("SIZE", "24"))
    next(node for node in model.graph if node.op_type == "Reshape").outputs[0].shape = (
        None if shape is None else ir.Shape(shape)
    )
    run(model, ConstantShapes())
    return model


@pytest.mark.parametrize(("shape", "wanted"), [(["b", 24], [-1, 24]), ([3, 24], [3, 24])])
def test_a_known_shape_is_stored_and_nothing_works_it_out_any_more(shape: list[str | int], wanted: list[int]) -> None:
    nodes = list(rewritten("b,24", shape).graph)
    assert [node.op_type for node in nodes] == ["Reshape", "Identity"]
    stored = editing.constant(nodes[0].inputs[1])
    assert stored is not None
    assert stored.tolist() == wanted
    assert "allowzero" not in nodes[0].attributes


@pytest.mark.parametrize("shape", [None, ["b", "c"], ["b", 0]], ids=["unknown", "two free", "empty"])
def test_a_shape_that_one_number_cannot_free_stays(shape: list[str | int] | None) -> None:
    assert [node.op_type for node in rewritten("b,24", shape).graph] == ["Shape", "Concat", "Reshape", "Identity"]
