from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from vitc.export.packing import pack, pack_weights, table, width
from vitc.export.passes import editing

runtime = pytest.importorskip("onnxruntime")
TEXT = """<ir_version: 10, opset_import: ["": 18]>
g (float[b,ROWS] x) => (float[b,COLUMNS] z) <float s = {0.1}, uint8 u = {128}> {
 q = QuantizeLinear(x, s, u)  d = DequantizeLinear(q, s, u)  w = DequantizeLinear <axis=1> (codes, scales)
 z = MatMul(d, w) }"""
REACH = {1: (-1, 1), 2: (-2, 1), 3: (-4, 3), 4: (-8, 7), 8: (-127, 127)}


def random_codes(bits: int, shape: tuple[int, ...]) -> NDArray[np.int8]:
    low, high = REACH[bits]
    codes = np.random.default_rng(0).integers(low, high, shape, dtype=np.int8, endpoint=True)
    codes.flat[:2] = low, high
    return np.where(codes == 0, 1, codes).astype(np.int8) if bits == 1 else codes


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


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("shape", [(3, 5), (8, 8), (1, 7)], ids=str)
def test_the_table_undoes_the_packing(bits: int, shape: tuple[int, int]) -> None:
    codes = random_codes(bits, shape)
    packed = pack(codes, bits)
    assert packed.nbytes == -(-codes.size * bits // 8)
    np.testing.assert_array_equal(table(bits)[packed].ravel()[: codes.size], codes.ravel())


@pytest.mark.parametrize(("bits", "wanted"), [(1, 1), (2, 2), (3, 4), (4, 4), (8, None)])
def test_codes_take_the_fewest_bits_that_hold_them(bits: int, wanted: int | None) -> None:
    assert width(random_codes(bits, (4, 4))) == wanted


def test_zero_is_no_sign() -> None:
    assert width(np.array([[-1, 0, 1]], dtype=np.int8)) == 2


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("shape", [(16, 8), (7, 5)], ids=["whole bytes", "odd"])
def test_onnxruntime_unpacks_once_and_multiplies_bytes(bits: int, shape: tuple[int, int], tmp_path: Path) -> None:
    codes = random_codes(bits, shape)
    x = np.random.default_rng(1).standard_normal((3, shape[0]), dtype=np.float32)
    _, wanted = optimized(linear(codes), tmp_path / "plain.onnx", x)
    model = linear(codes)
    pack_weights(model)
    stored = [editing.constant(value) for name, value in model.graph.initializers.items() if "codes" in name]
    assert sum(array.nbytes for array in stored if array is not None) == -(-codes.size * {3: 4}.get(bits, bits) // 8)
    loaded, found = optimized(model, tmp_path / "packed.onnx", x)
    np.testing.assert_array_equal(found, wanted)
    assert [node.op_type for node in loaded.graph] == ["QuantizeLinear", "MatMulIntegerToFloat"]
    held = editing.constant(loaded.graph[1].inputs[1])
    assert held is not None
    assert held.dtype == np.int8
    np.testing.assert_array_equal(held, codes)


def test_unpacked_codes_keep_their_name_and_shape() -> None:
    model = linear(random_codes(4, (7, 5)))
    pack_weights(model)
    values = {value.name: value for node in model.graph for value in node.inputs if value is not None}
    assert values["codes"].shape == [7, 5]
    assert "codes" not in model.graph.initializers
