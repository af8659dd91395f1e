from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitc.runtimes.audit import audit, macs
from vitc.runtimes.mil_audit import executed, promised

mb = pytest.importorskip("coremltools.converters.mil").Builder
types = pytest.importorskip("coremltools.converters.mil.mil").types

Save = Callable[..., Path]
RANDOM = np.random.default_rng(0)
IMAGE = np.zeros((1, 5, 8), dtype=np.float32)
CODES = RANDOM.integers(-127, 128, (6, 8)).astype(np.int8)
ROWS = np.full(6, 0.1, dtype=np.float32)
KERNEL = RANDOM.integers(-127, 128, (6, 4, 3, 3)).astype(np.int8)
TABLE = np.ones((6, 8), dtype=np.float32)


def rounded(x: Any) -> Any:
    return mb.dequantize(input=mb.quantize(input=x, scale=0.1, output_dtype="int8"), scale=0.1)


def eight_bits(codes: Any = CODES, scale: Any = ROWS, axis: int = 0) -> Any:
    return mb.constexpr_affine_dequantize(
        quantized_data=codes, zero_point=np.int8(0), scale=scale, axis=axis, name="blocks_0_fc_weight"
    )


def blocks(codes: Any, shape: tuple[int, ...]) -> Any:
    return mb.constexpr_blockwise_shift_scale(
        data=codes, scale=np.full(shape, 0.1, np.float32), name="blocks_0_fc_weight"
    )


def four_bits(shape: tuple[int, ...]) -> Any:
    return blocks((CODES // 16).astype(types.nptype_from_builtin(types.int4)), shape)


def one_bit() -> Any:
    indices = (CODES > 0).astype(types.nptype_from_builtin(types.uint1))
    return mb.constexpr_lut_to_dense(indices=indices, lut=np.ones((6, 1, 2, 1), np.float32), name="blocks_0_fc_weight")


@pytest.mark.parametrize(
    ("build", "activations", "weights", "layers"),
    [
        (lambda x: mb.linear(x=rounded(x), weight=eight_bits(), name="fc"), "int8", "int8", ["blocks_0_fc"]),
        (lambda x: mb.linear(x=rounded(x), weight=blocks(CODES, (6, 1)), name="fc"), "int8", "int8", ["blocks_0_fc"]),
        (
            lambda x: mb.linear(x=rounded(x), weight=eight_bits(scale=np.float32(1)), name="fc"),
            "int8",
            "int8",
            ["blocks_0_fc"],
        ),
        (lambda x: mb.linear(x=x, weight=eight_bits(), name="fc"), "fp32", "int8", []),
        (lambda x: mb.linear(x=rounded(x), weight=TABLE, name="fc"), "fp32", "fp32", []),
        (lambda x: mb.linear(x=rounded(x), weight=blocks(CODES, (6, 2)), name="fc"), "fp32", "int8", []),
        (lambda x: mb.linear(x=rounded(x), weight=four_bits((6, 1)), name="fc"), "fp32", "int4", []),
        (lambda x: mb.linear(x=rounded(x), weight=one_bit(), name="fc"), "fp32", "uint1", []),
        (
            lambda x: mb.linear(x=rounded(x), weight=eight_bits(scale=np.ones(8, np.float32), axis=1), name="fc"),
            "fp32",
            "int8",
            [],
        ),
    ],
)
def test_integers_need_bytes_on_both_sides_and_one_scale_a_sum(
    build: Any, activations: str, weights: str, layers: list[str], mil_package: Save
) -> None:
    path = mil_package(build, IMAGE.shape, target="iOS18")
    [kernel] = executed(path, IMAGE)
    assert (kernel.operator, kernel.name) == ("MatMul", "fc")
    assert kernel.inputs == ((activations, IMAGE.shape), (weights, (6, 8)))
    assert kernel.outputs == (("fp32", (1, 5, 6)),)
    assert macs(kernel) == 5 * 8 * 6
    assert list(promised(path).values()) == layers


def test_a_pair_that_does_not_stand_at_its_multiplication_is_a_fallback(mil_package: Save) -> None:
    def build(x: Any) -> Any:
        near = mb.linear(x=rounded(x), weight=eight_bits(), name="near")
        far = mb.linear(x=mb.reshape(x=rounded(x), shape=[5, 1, 8]), weight=eight_bits(), name="far")
        return mb.concat(values=[near, mb.reshape(x=far, shape=[1, 5, 6])], axis=0)

    path = mil_package(build, IMAGE.shape)
    found = audit(executed(path, IMAGE), promised(path))
    assert found.fallbacks == (("blocks_0_fc", "runs as MatMul on fp32"),)
    assert (found.int8_macs_pct, found.promised_pct) == (50.0, 50.0)


def test_convolutions_are_counted(mil_package: Save) -> None:
    def build(x: Any) -> Any:
        x = mb.conv(x=rounded(x), weight=eight_bits(KERNEL), strides=[2, 2], pad_type="valid")
        return mb.conv_transpose(x=x, weight=np.ones((6, 2, 2, 2), np.float32), strides=[2, 2], groups=2)

    path = mil_package(build, (1, 4, 9, 9))
    kernels = executed(path, np.zeros((1, 4, 9, 9), dtype=np.float32))
    assert [(kernel.operator, kernel.inputs[0][0]) for kernel in kernels] == [("Conv", "int8"), ("Conv", "fp32")]
    assert [macs(kernel) for kernel in kernels] == [6 * 4 * 4 * 36, 4 * 4 * 6 * 2 * 4]
    assert len(promised(path)) == 1


def test_products_of_two_activations_are_counted(mil_package: Save) -> None:
    def build(x: Any) -> Any:
        seen = mb.scaled_dot_product_attention(query=x, key=x, value=x)
        scores = mb.matmul(x=seen, y=x, transpose_y=True)
        line = mb.einsum(
            values=(mb.expand_dims(x=scores, axes=[2]), mb.expand_dims(x=x, axes=[2])), equation="nchw,nwhu->nchu"
        )
        return mb.squeeze(x=line, axes=[2])

    path = mil_package(build, IMAGE.shape, target="iOS18")
    assert [macs(kernel) for kernel in executed(path, IMAGE)] == [5 * 5 * 8] * 4
    assert promised(path) == {}
