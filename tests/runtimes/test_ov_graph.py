from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitc.runtimes import ov_graph

openvino = pytest.importorskip("openvino")
op = openvino.opset13
CODES = np.arange(-16, 16, dtype=np.int8).reshape(8, 4)


def rounded(value: Any) -> Any:
    return op.fake_quantize(value, *(op.constant(np.float32(end)) for end in (-1, 1, -1, 1)), 256)


def weights(name: str) -> Any:
    codes = op.constant(CODES)
    codes.set_friendly_name(name)
    return op.multiply(op.convert(codes, "f32"), op.constant(np.full((1, 4), 0.1, np.float32)))


def model(result: Any, image: Any) -> Any:
    return openvino.Model([result], [image], "made")


@pytest.fixture
def image() -> Any:
    return op.parameter([2, 8], np.float32, "image")


def test_a_product_of_codes_is_promised_under_its_layer(image: Any) -> None:
    made = model(op.matmul(rounded(image), weights("head.weight_codes"), transpose_a=False, transpose_b=False), image)
    (product,) = ov_graph.products(made)
    assert ov_graph.promises(made) == {product.get_friendly_name(): "head"}


def test_codes_may_be_moved_on_their_way(image: Any) -> None:
    moved = op.transpose(op.reshape(rounded(image), np.array([8, 2]), special_zero=False), np.array([1, 0]))
    made = model(op.matmul(moved, weights("a.proj.weight_flat_codes"), transpose_a=False, transpose_b=False), image)
    assert list(ov_graph.promises(made).values()) == ["a.proj"]


def test_codes_without_a_name_are_named_by_their_product(image: Any) -> None:
    product = op.matmul(rounded(image), weights("Constant_7"), transpose_a=False, transpose_b=False)
    product.set_friendly_name("the product")
    assert ov_graph.promises(model(product, image)) == {"the product": "the product"}


def test_float_inputs_or_float_weights_are_not_promised(image: Any) -> None:
    of_floats = op.matmul(image, weights("head.weight_codes"), transpose_a=False, transpose_b=False)
    by_floats = op.matmul(rounded(image), op.constant(CODES.astype(np.float32)), transpose_a=False, transpose_b=False)
    for product in (of_floats, by_floats):
        assert ov_graph.promises(model(product, image)) == {}


def test_what_does_not_depend_on_the_image_is_no_product_of_a_run(image: Any) -> None:
    folded = op.matmul(
        op.constant(np.ones((2, 8), np.float32)),
        op.constant(np.ones((8, 8), np.float32)),
        transpose_a=False,
        transpose_b=False,
    )
    made = model(
        op.matmul(
            op.add(image, folded), op.constant(np.ones((8, 3), np.float32)), transpose_a=False, transpose_b=False
        ),
        image,
    )
    assert len(ov_graph.products(made)) == 1


def test_a_product_that_the_runtime_does_not_mention_is_not_called_kept(image: Any, tmp_path: Path) -> None:
    made = model(op.matmul(rounded(image), weights("head.weight_codes"), transpose_a=False, transpose_b=False), image)
    other = model(op.relu(image), image)
    runtime = openvino.Core().compile_model(other, "CPU").get_runtime_model()
    (kernel,) = ov_graph.kernels(made, runtime)
    assert kernel.operator == f"MatMul in {ov_graph.LOST}"
    assert kernel.inputs == (("unknown", (2, 8)), ("unknown", (8, 4)))


def test_a_bias_taken_in_does_not_hide_the_product(image: Any) -> None:
    product = op.matmul(image, op.constant(CODES.astype(np.float32)), transpose_a=False, transpose_b=False)
    made = model(op.add(product, op.constant(np.ones((1, 4), np.float32))), image)
    runtime = openvino.Core().compile_model(made, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).get_runtime_model()
    (kernel,) = ov_graph.kernels(made, runtime)
    assert kernel.operator == "MatMul in FullyConnected"
    assert (kernel.inputs[0], kernel.outputs[0]) == (("f32", (2, 8)), ("f32", (2, 4)))


def test_a_scale_taken_in_does_not_hide_the_product(image: Any) -> None:
    product = op.matmul(rounded(image), weights("head.weight_codes"), transpose_a=False, transpose_b=False)
    made = model(op.multiply(product, op.constant(np.array([[1.0, 2.0, 3.0, 4.0]], np.float32))), image)
    runtime = openvino.Core().compile_model(made, "CPU").get_runtime_model()
    (kernel,) = ov_graph.kernels(made, runtime)
    assert kernel.operator == "MatMul in FullyConnected"
