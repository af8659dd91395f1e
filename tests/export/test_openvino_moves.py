from typing import Any

import numpy as np
import pytest

from vitc.export.openvino_moves import round_before_moving

openvino = pytest.importorskip("openvino")
op = openvino.opset13
IMAGE = np.random.default_rng(0).standard_normal((2, 6), dtype=np.float32)


def rounded(value: Any, low: float = -2) -> Any:
    return op.fake_quantize(value, *(op.constant(np.full((1, 1), end, np.float32)) for end in (low, 3, low, 3)), 256)


def answers(model: Any) -> list[Any]:
    found = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(IMAGE)
    return [np.array(result) for result in found.values()]


def types(model: Any) -> list[str]:
    kinds = [node.get_type_name() for node in model.get_ordered_ops()]
    return [kind for kind in kinds if kind not in ("Constant", "Parameter", "Result")]


def moved(value: Any) -> Any:
    return op.reshape(op.transpose(value, np.array([1, 0])), np.array([-1, 4]), special_zero=False)


@pytest.fixture
def image() -> Any:
    return op.parameter([2, 6], np.float32, "image")


@pytest.fixture
def product(image: Any) -> Any:
    weights = np.random.default_rng(1).standard_normal((6, 4), dtype=np.float32)
    return op.matmul(image, op.constant(weights), transpose_a=False, transpose_b=False)


def test_rounding_goes_in_front_of_all_moves(image: Any, product: Any) -> None:
    model = openvino.Model([moved_then_rounded(product)], [image], "made")
    before = answers(model)
    assert round_before_moving(model) == 1
    assert types(model) == ["MatMul", "FakeQuantize", "Transpose", "Reshape"]
    np.testing.assert_allclose(answers(model)[0], before[0], rtol=1e-6)
    assert round_before_moving(model) == 0


def moved_then_rounded(value: Any) -> Any:
    return rounded(moved(value))


def test_what_others_read_unrounded_stays(image: Any, product: Any) -> None:
    floats = moved(product)
    model = openvino.Model([rounded(floats), op.relu(floats)], [image], "made")
    assert round_before_moving(model) == 0
    read = openvino.Model([moved_then_rounded(product), op.relu(product)], [image], "made")
    assert round_before_moving(read) == 0


def test_pixels_are_rounded_where_they_were(image: Any) -> None:
    assert round_before_moving(openvino.Model([moved_then_rounded(image)], [image], "made")) == 0


def test_a_range_for_each_channel_stays(image: Any, product: Any) -> None:
    ends = [op.constant(np.array([[low, low, low, 2 * low]], np.float32)) for low in (-1, 1, -1, 1)]
    model = openvino.Model([op.fake_quantize(moved(product), *ends, 256)], [image], "made")
    assert round_before_moving(model) == 0
