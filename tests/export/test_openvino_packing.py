from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vitc.export.openvino_packing import pack
from vitc.runtimes import ov_graph

openvino = pytest.importorskip("openvino")
op = openvino.opset13
RANDOM = np.random.default_rng(0)
SHAPE = (64, 33)
NARROW = {
    "bits": (np.where(RANDOM.random(SHAPE) < 0.5, -1, 1).astype(np.int8), "u1", 1 / 8),
    "two bits": (RANDOM.choice(np.array([-3, -1, 1, 3], np.int8), SHAPE), "u2", 1 / 4),
    "four bits": (RANDOM.integers(-8, 8, SHAPE, np.int8), "i4", 1 / 2),
    "three levels": (RANDOM.integers(-1, 2, SHAPE, np.int8), "i4", 1 / 2),
}


def made(codes: NDArray[np.int8]) -> Any:
    image = op.parameter([2, SHAPE[0]], np.float32, "image")
    ends = (op.constant(np.float32(end)) for end in (-3, 3, -3, 3))
    held = op.constant(codes)
    held.set_friendly_name("head.weight_codes")
    scale = op.constant(np.full((1, SHAPE[1]), 0.25, np.float32))
    weights = op.multiply(op.convert(held, "f32"), scale)
    return openvino.Model(
        [op.matmul(op.fake_quantize(image, *ends, 256), weights, transpose_a=False, transpose_b=False)], [image], "made"
    )


def saved(model: Any, path: Path) -> Any:
    openvino.save_model(model, path, compress_to_fp16=False)
    return openvino.Core().read_model(path)


@pytest.mark.parametrize(("codes", "kind", "share"), NARROW.values(), ids=NARROW.keys())
def test_codes_are_stored_in_fewer_bits_and_multiplied_as_bytes(
    codes: NDArray[np.int8], kind: str, share: float, tmp_path: Path
) -> None:
    images = RANDOM.standard_normal((2, SHAPE[0]), dtype=np.float32)
    wide = saved(made(codes), tmp_path / "wide.xml")
    model = made(codes)
    assert pack(model) == 1
    narrow = saved(model, tmp_path / "narrow.xml")
    types = {node.get_element_type().get_type_name() for node in narrow.get_ops() if node.get_type_name() == "Constant"}
    assert kind in types
    sizes = [(tmp_path / f"{name}.bin").stat().st_size for name in ("narrow", "wide")]
    assert sizes[1] - sizes[0] > 0.9 * (1 - share) * codes.size
    compiled = [openvino.Core().compile_model(one, "CPU") for one in (wide, narrow)]
    wanted, found = (np.array(one(images)[0]) for one in compiled)
    np.testing.assert_array_equal(found, wanted)
    (kernel,) = ov_graph.kernels(narrow, compiled[1].get_runtime_model())
    assert kernel.inputs[0][0] in ("u8", "i8")
    assert list(ov_graph.promises(narrow).values()) == ["head"]


@pytest.mark.parametrize("worst", [-9, 8])
def test_codes_that_need_a_byte_keep_it(worst: int) -> None:
    codes = np.full(SHAPE, 3, np.int8)
    codes[5, 5] = worst
    assert pack(made(codes)) == 0
