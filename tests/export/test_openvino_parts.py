from typing import Any

import numpy as np
import pytest

from vitc.export.openvino_parts import round_before_parting
from vitc.export.to_openvino import anonymize

openvino = pytest.importorskip("openvino")
op = openvino.opset13
IMAGE = np.random.default_rng(0).standard_normal((2, 5, 8), dtype=np.float32)
WEIGHT = np.random.default_rng(1).standard_normal((8, 12), dtype=np.float32)


def rounded(value: Any, high: float = 3.0, levels: int = 256) -> Any:
    return op.fake_quantize(value, *(op.constant(np.float32(end)) for end in (-high, high) * 2), levels)


def answers(model: Any) -> list[Any]:
    return list(openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(IMAGE).values())


def kinds(model: Any) -> list[str]:
    return [node.get_type_name() for node in model.get_ordered_ops()]


@pytest.fixture
def image() -> Any:
    return op.parameter([2, 5, 8], np.float32, "image")


def product(image: Any) -> Any:
    made = op.matmul(image, op.constant(WEIGHT), transpose_a=False, transpose_b=False)
    return op.add(made, op.constant(np.linspace(-1, 1, 12, dtype=np.float32)))


def parts(value: Any) -> list[Any]:
    """The thirds of the last axis, two of them moved."""
    ends = [[op.constant(np.array([at], np.int64)) for at in (start, start + 4, 1, 2)] for start in (0, 4, 8)]
    first, second, third = (op.slice(value, *end) for end in ends)
    flat = op.reshape(third, op.constant(np.array([10, 4])), special_zero=False)
    return [first, op.transpose(second, op.constant(np.array([0, 2, 1]))), flat]


def test_parts_that_are_rounded_alike_are_rounded_once(image: Any) -> None:
    model = openvino.Model([op.result(rounded(part)) for part in parts(product(image))], [image], "made")
    before = answers(model)
    assert round_before_parting(model) == 1
    assert kinds(model).count("FakeQuantize") == 1
    (end,) = (node for node in model.get_ordered_ops() if node.get_type_name() == "FakeQuantize")
    assert end.input_value(0).get_node().get_type_name() == "Add"
    for was, found in zip(before, answers(model), strict=True):
        np.testing.assert_allclose(found, was, atol=1e-6)
        assert len(np.unique(found)) > 20
    assert round_before_parting(model) == 0


def test_the_names_are_the_same_every_time() -> None:
    def names() -> list[str]:
        image = op.parameter([2, 5, 8], np.float32, "image")
        ends = [rounded(part) for part in parts(product(image))]
        for number, end in enumerate(ends):
            end.set_friendly_name(f"end{number}")
        model = openvino.Model([op.result(end) for end in ends], [image], "made")
        assert round_before_parting(model) == 1
        anonymize(model)
        return [node.get_friendly_name() for node in model.get_ordered_ops()]

    assert len({tuple(names()) for _ in range(10)}) == 1, "readers come in no order"


def test_a_part_that_is_read_as_it_is_keeps_the_others_apart(image: Any) -> None:
    first, *others = parts(product(image))
    model = openvino.Model([op.result(node) for node in (op.relu(first), *map(rounded, others))], [image], "made")
    assert round_before_parting(model) == 0


@pytest.mark.parametrize("odd", [{"high": 2.0}, {"levels": 16}], ids=str)
def test_parts_that_are_rounded_unlike_stay(odd: dict[str, Any], image: Any) -> None:
    first, *others = parts(product(image))
    ends = [rounded(first, **odd), *map(rounded, others)]
    model = openvino.Model([op.result(end) for end in ends], [image], "made")
    assert round_before_parting(model) == 0


def test_parts_of_a_sum_stay(image: Any) -> None:
    total = op.add(product(image), product(image))
    model = openvino.Model([op.result(rounded(part)) for part in parts(total)], [image], "made")
    assert round_before_parting(model) == 0


def test_a_range_for_each_channel_stays(image: Any) -> None:
    def by_channel(part: Any) -> Any:
        high = op.constant(np.linspace(1, 2, 4, dtype=np.float32))
        return op.fake_quantize(part, op.negative(high), high, op.negative(high), high, 256)

    first, *_ = parts(product(image))
    model = openvino.Model([op.result(by_channel(first)), op.result(by_channel(first))], [image], "made")
    assert round_before_parting(model) == 0
