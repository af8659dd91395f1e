from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from vitc.export.packing import FORMS, Form, narrowest, pack, pack_weights, table
from vitc.export.passes import editing

runtime = pytest.importorskip("onnxruntime")
TEXT = """<ir_version: 10, opset_import: ["": 18]>
g (float[b,ROWS] x) => (float[b,COLUMNS] z) <float s = {0.1}, uint8 u = {128}> {
 q = QuantizeLinear(x, s, u)  d = DequantizeLinear(q, s, u)  w = DequantizeLinear <axis=1> (codes, scales)
 z = MatMul(d, w) }"""
ONE, TWO, PLAIN_TWO, FOUR = FORMS
KINDS = {
    "signs": (range(-1, 2, 2), ONE),
    "two signs": (range(-3, 4, 2), TWO),
    "two bits": (range(-2, 2), PLAIN_TWO),
    "three levels": (range(-1, 2), PLAIN_TWO),
    "three bits": (range(-4, 4), FOUR),
    "four bits": (range(-8, 8), FOUR),
    "odd, of four bits": (range(-7, 8, 2), FOUR),
    "a byte": (range(-127, 128), None),
}


def random_codes(levels: range, shape: tuple[int, ...]) -> NDArray[np.int8]:
    codes = np.random.default_rng(0).choice(np.array(levels, np.int8), shape)
    codes.flat[: len(levels)] = np.array(levels)[: codes.size]
    return codes


def linear(codes: NDArray[np.int8]) -> ir.Model:
    """A quantized linear with these codes; the scales are 1, 2, 3 and so on."""
    rows, columns = codes.shape
    text = TEXT.replace("ROWS", str(rows)).replace("COLUMNS", str(columns))
    head = f"<int8{list(codes.shape)} codes = {{{', '.join(map(str, codes.ravel()))}}}, float[{columns}] scales = "
    values = "{" + ", ".join(str(number + 1) for number in range(columns)) + "}, "
    return ir.from_onnx_text(text.replace("<float s", head + values + "float s"))


def optimized(model: ir.Model, path: Path, x: NDArray[np.float32]) -> tuple[ir.Model, NDArray[np.float32]]:
    """What onnxruntime makes of the model when it loads it, and its answer."""
    options = runtime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    session = runtime.InferenceSession(ir.to_proto(model).SerializeToString(), options, ["CPUExecutionProvider"])
    return ir.load(path), session.run(None, {"x": x})[0]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("shape", [(3, 5), (8, 8), (1, 7), (1, 1), (5, 3, 1, 1)], ids=str)
def test_the_table_undoes_the_packing(form: Form, shape: tuple[int, ...]) -> None:
    codes = random_codes(range(form.lowest, form.lowest + form.pitch * 2**form.bits, form.pitch), shape)
    packed = pack(codes, form)
    assert packed.nbytes == -(-codes.size * form.bits // 8)
    np.testing.assert_array_equal(table(form)[packed].ravel()[: codes.size], codes.ravel())


@pytest.mark.parametrize(("levels", "wanted"), KINDS.values(), ids=KINDS)
def test_codes_take_the_fewest_bits_that_hold_them(levels: range, wanted: Form | None) -> None:
    assert narrowest(random_codes(levels, (4, 4) if len(levels) < 16 else (16, 16))) == wanted


@pytest.mark.parametrize(("levels", "form"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("shape", [(16, 18), (7, 37)], ids=["whole bytes", "odd"])
def test_onnxruntime_unpacks_once_and_multiplies_bytes(
    levels: range, form: Form | None, shape: tuple[int, int], tmp_path: Path
) -> None:
    codes = random_codes(levels, shape)
    x = np.random.default_rng(1).standard_normal((3, shape[0]), dtype=np.float32)
    _, wanted = optimized(linear(codes), tmp_path / "plain.onnx", x)
    model = linear(codes)
    pack_weights(model)
    stored = [editing.constant(value) for name, value in model.graph.initializers.items() if "codes" in name]
    assert sum(array.nbytes for array in stored if array is not None) == -(
        -codes.size * (form.bits if form else 8) // 8
    )
    loaded, found = optimized(model, tmp_path / "packed.onnx", x)
    np.testing.assert_array_equal(found, wanted)
    assert [node.op_type for node in loaded.graph] == ["QuantizeLinear", "MatMulIntegerToFloat"]
    held = editing.constant(loaded.graph[1].inputs[1])
    assert held is not None
    assert held.dtype == np.int8
    np.testing.assert_array_equal(held, codes)


def test_unpacked_codes_keep_their_name_and_shape() -> None:
    model = linear(random_codes(range(-8, 8), (7, 5)))
    pack_weights(model)
    values = {value.name: value for node in model.graph for value in node.inputs if value is not None}
    assert values["codes"].shape == [7, 5]
    assert "codes" not in model.graph.initializers
