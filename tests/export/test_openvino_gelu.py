import math
from typing import Any

import numpy as np
import pytest

from vitc.export.openvino_gelu import FEWEST, POLYNOMIALS, Polynomial, approximate_gelu

openvino = pytest.importorskip("openvino")
op = openvino.opset13
GRID = np.linspace(-12, 12, 24001)
EXACT = np.array([value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in GRID])


def made(high: float) -> tuple[Any, Any]:
    image = op.parameter([1, len(GRID)], np.float32, "image")
    ends = (op.constant(np.float32(end)) for end in (-0.17, high, -0.17, high))
    return image, op.fake_quantize(op.gelu(image, "erf"), *ends, 256)


def types(model: Any) -> set[str]:
    return {node.get_type_name() for node in model.get_ops()}


@pytest.mark.parametrize("polynomial", POLYNOMIALS)
def test_a_polynomial_is_as_near_as_it_says(polynomial: Polynomial) -> None:
    held = np.clip(GRID, -polynomial.reach, polynomial.reach)
    cdf = 0.5 + sum(c * held ** (2 * power + 1) for power, c in enumerate(polynomial.coefficients))
    worst = np.abs(GRID * cdf - EXACT).max()
    assert 0.9 * polynomial.error < worst < polynomial.error


@pytest.mark.parametrize(("high", "polynomial"), [(6.0, POLYNOMIALS[0]), (1.5, POLYNOMIALS[1])])
def test_codes_are_those_of_the_exact_function_but_for_neighbours(high: float, polynomial: Polynomial) -> None:
    image, result = made(high)
    model = openvino.Model([result], [image], "made")
    run = {"INFERENCE_PRECISION_HINT": "f32"}
    pixels = GRID[None].astype(np.float32)
    before = openvino.Core().compile_model(model, "CPU", run)(pixels)[0]
    assert approximate_gelu(model) == 1
    assert not types(model) & {"Gelu", "FakeQuantize"}
    after = openvino.Core().compile_model(model, "CPU", run)(pixels)[0]
    step = (high + 0.17) / 255
    assert np.abs(after - before).max() < 1.05 * step, "zero may lie between codes of the range, by this little"
    assert (np.abs(after - before) > 0.5 * step).mean() < 2 * polynomial.error / step
    assert len(np.unique(after)) > 200


def test_where_steps_are_fine_the_function_stays_exact() -> None:
    fine = FEWEST * POLYNOMIALS[-1].error * 255 - 0.17
    for high, changed in ((0.95 * fine, 0), (1.05 * fine, 1)):
        image, result = made(high)
        assert approximate_gelu(openvino.Model([result], [image], "made")) == changed


def test_a_gelu_that_is_read_as_a_float_stays_exact() -> None:
    image = op.parameter([1, 4], np.float32, "image")
    gelu = op.gelu(image, "erf")
    ends = [op.constant(np.float32(end)) for end in (-0.17, 6, -0.17, 6)]
    both = openvino.Model([op.fake_quantize(gelu, *ends, 256), op.relu(gelu)], [image], "made")
    assert approximate_gelu(both) == 0
    assert approximate_gelu(openvino.Model([op.relu(op.gelu(image, "erf"))], [image], "made")) == 0
