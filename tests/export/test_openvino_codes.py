from typing import Any

import numpy as np
import pytest

from vitc.export.openvino_codes import Rounding, spell_out

openvino = pytest.importorskip("openvino")
op = openvino.opset13
IMAGE = np.random.default_rng(0).standard_normal((3, 500), dtype=np.float32)
LOW, HIGH = -1.5, 2.325


def rounded(value: Any, low: float = LOW, high: float = HIGH, levels: int = 256) -> Any:
    return op.fake_quantize(value, *(op.constant(np.float32(end)) for end in (low, high, low, high)), levels)


def answer(model: Any) -> Any:
    return next(iter(openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(IMAGE).values()))


def types(model: Any) -> set[str]:
    return {node.get_type_name() for node in model.get_ops()}


@pytest.fixture
def image() -> Any:
    return op.parameter([3, 500], np.float32, "image")


def affine(value: Any) -> Any:
    factors = np.linspace(-2, 2, 500, dtype=np.float32)[None]
    return op.add(op.multiply(value, op.constant(factors)), op.constant(factors / 3))


def test_the_grid_is_read_from_the_range(image: Any) -> None:
    grid = Rounding.of(rounded(image))
    assert grid is not None
    assert grid.scale == pytest.approx(0.015)
    assert grid.zero_point == 100


def test_rounding_behind_an_affine_is_spelt_out_and_gives_the_same(image: Any) -> None:
    model = openvino.Model([rounded(affine(image))], [image], "made")
    before = answer(model)
    assert spell_out(model) == 1
    assert "FakeQuantize" not in types(model)
    after = answer(model)
    assert len(np.unique(before)) > 200
    assert (np.abs(after - before) > 1e-5).mean() < 0.01, "more than ties were rounded the other way"
    assert np.abs(after - before).max() < 0.016
    assert after.min() == pytest.approx(LOW)
    assert after.max() == pytest.approx(HIGH)


@pytest.mark.parametrize("levels", [16, 255])
def test_other_levels_stay(image: Any, levels: int) -> None:
    model = openvino.Model([rounded(affine(image), levels=levels)], [image], "made")
    assert spell_out(model) == 0


def test_rounding_behind_a_product_stays(image: Any) -> None:
    product = op.matmul(image, op.constant(np.ones((500, 2), np.float32)), transpose_a=False, transpose_b=False)
    biased = op.add(product, op.constant(np.ones((1, 2), np.float32)))
    for value in (product, biased):
        assert spell_out(openvino.Model([rounded(value)], [image], "made")) == 0


def test_an_affine_that_others_read_stays(image: Any) -> None:
    value = affine(image)
    assert spell_out(openvino.Model([rounded(value), op.relu(value)], [image], "made")) == 0


def test_a_range_that_is_not_the_results_is_no_grid(image: Any) -> None:
    ends = [op.constant(np.float32(end)) for end in (-1, 1, -2, 2)]
    assert Rounding.of(op.fake_quantize(image, *ends, 256)) is None
    assert Rounding.of(rounded(image, 1, 1)) is None
