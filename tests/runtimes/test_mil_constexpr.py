from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vitc.runtimes.mil_arguments import Arguments, UnknownFormError
from vitc.runtimes.mil_constexpr import CONSTEXPR, quantize

mb = pytest.importorskip("coremltools.converters.mil").Builder
types = pytest.importorskip("coremltools.converters.mil.mil").types

RANDOM = np.random.default_rng(0)
CODES = RANDOM.integers(-128, 128, (6, 8)).astype(np.int8)
SMALL = RANDOM.integers(-8, 8, (6, 8)).astype(types.nptype_from_builtin(types.int4))
ROWS = RANDOM.uniform(0.1, 1, 6).astype(np.float32)


def indices(bits: int, shape: tuple[int, ...]) -> Any:
    kind = types.nptype_from_builtin(types.string_to_builtin(f"uint{bits}"))
    return RANDOM.integers(0, 2**bits, shape).astype(kind)


def affine(**words: Any) -> Any:
    return lambda: mb.constexpr_affine_dequantize(quantized_data=CODES, **words)


def palette(bits: int, shape: tuple[int, ...], **words: Any) -> Any:
    lut = RANDOM.standard_normal(shape).astype(np.float32)
    return lambda: mb.constexpr_lut_to_dense(indices=indices(bits, (6, 8)), lut=lut, **words)


def packed(bits: int) -> Any:
    lut = RANDOM.standard_normal(2**bits).astype(np.float32)
    data = RANDOM.integers(0, 256, -(-bits * 35 // 8)).astype(np.uint8)
    return lambda: mb.constexpr_lut_to_dense(indices=data, lut=lut, shape=np.array([5, 7], np.uint32))


def blocks(data: Any, shape: tuple[int, ...], *, offset: bool) -> Any:
    words = {"offset": RANDOM.integers(-7, 7, shape).astype(data.dtype)} if offset else {}
    scale = RANDOM.uniform(0.1, 1, shape).astype(np.float32)
    return lambda: mb.constexpr_blockwise_shift_scale(data=data, scale=scale, **words)


def sparse(target: str) -> Any:
    mask = RANDOM.integers(0, 2, 40).astype(np.uint8)
    values = RANDOM.standard_normal(int(mask.sum())).astype(np.float32)
    if target == "iOS18":
        bits = mask.reshape(5, 8).astype(types.nptype_from_builtin(types.uint1))
        return lambda: mb.constexpr_sparse_to_dense(nonzero_data=values, mask=bits)
    bytes_ = np.packbits(mask, bitorder="little")
    return lambda: mb.constexpr_sparse_to_dense(nonzero_data=values, mask=bytes_, shape=np.array([5, 8], np.uint32))


CASES = {
    "affine, per row": ("iOS17", affine(zero_point=np.int8(0), scale=ROWS, axis=0)),
    "affine, per column": (
        "iOS17",
        affine(zero_point=RANDOM.integers(-9, 9, 8).astype(np.int8), scale=np.arange(1, 9, dtype=np.float32), axis=-1),
    ),
    "affine, one scale": ("iOS17", affine(zero_point=np.int8(-3), scale=np.float32(0.1), axis=0)),
    **{f"palette of {bits} packed bits": ("iOS17", packed(bits)) for bits in (1, 2, 4, 6, 8)},
    **{f"palette of {bits} bits": ("iOS18", palette(bits, (1, 1, 2**bits, 1))) for bits in (1, 2, 3, 4, 6, 8)},
    "palettes of blocks": ("iOS18", palette(2, (3, 2, 4, 1))),
    "palette of vectors": ("iOS18", palette(1, (1, 1, 2, 3), vector_axis=np.int32(0))),
    "palette of vectors along the end": ("iOS18", palette(1, (2, 1, 2, 4), vector_axis=np.int32(-1))),
    "4 bits in blocks": ("iOS18", blocks(SMALL, (6, 2), offset=False)),
    "4 bits in blocks with offsets": ("iOS18", blocks(SMALL, (3, 4), offset=True)),
    "8 bits per row": ("iOS18", blocks(CODES, (6, 1), offset=False)),
    "sparse": ("iOS17", sparse("iOS17")),
    "sparse by bits": ("iOS18", sparse("iOS18")),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_weights_unfold_as_coremltools_unfolds_them(case: str, interpret: Callable[..., Tensor]) -> None:
    target, weight = CASES[case]
    expected = []

    def build(x: Any) -> Any:
        made = weight()
        expected.append(made.op.materialized_val_inference())
        return mb.add(x=x, y=made)

    found = interpret(build, torch.zeros(1), target)
    np.testing.assert_allclose(found.numpy(), expected[0], rtol=1e-6)
    assert np.ptp(expected[0]) > 0


def test_a_cast_of_a_constant_keeps_its_values(interpret: Callable[..., Tensor]) -> None:
    values = np.array([0.1, 3.0], dtype=np.float16)
    found = interpret(
        lambda x: mb.add(x=x, y=mb.constexpr_cast(source_val=values, output_dtype="fp32")), torch.zeros(1)
    )
    assert np.array_equal(found.numpy(), values.astype(np.float32))


HALVES = torch.tensor([[-3.0, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 90.0]])


def test_quantizing_rounds_halves_to_even_and_saturates(interpret: Callable[..., Tensor]) -> None:
    found = interpret(
        lambda x: mb.cast(x=mb.quantize(input=x, scale=0.5, output_dtype="int8"), dtype="fp32"), HALVES / 2
    )
    assert found.tolist() == [[-3, -2, -2, 0, 0, 2, 2, 90]]
    found = interpret(
        lambda x: mb.cast(
            x=mb.quantize(input=x, scale=0.25, zero_point=np.uint8(7), output_dtype="uint8"), dtype="fp32"
        ),
        HALVES,
    )
    assert found.tolist() == [[0, 0, 1, 5, 9, 13, 17, 255]]


def test_codes_come_back_as_the_values_that_they_stand_for(interpret: Callable[..., Tensor]) -> None:
    scale, zero = np.array([0.5, 0.25], np.float32), np.array([1, -2], np.int8)

    def build(x: Any) -> Any:
        codes = mb.quantize(input=x, scale=scale, zero_point=zero, axis=0, output_dtype="int8")
        return mb.dequantize(input=codes, scale=scale, zero_point=zero, axis=0)

    x = torch.tensor([[0.6, -1.0, 99.0], [0.13, -0.3, -99.0]])
    assert interpret(build, x).tolist() == [[0.5, -1.0, 63.0], [0.25, -0.25, -31.5]]


def test_every_operator_is_tested() -> None:
    forms = {"affine_dequantize", "blockwise_shift_scale", "cast", "lut_to_dense", "sparse_to_dense"}
    assert set(CONSTEXPR) == {*(f"constexpr_{form}" for form in forms), "quantize", "dequantize"}


def test_a_type_that_is_not_known_is_named() -> None:
    with pytest.raises(UnknownFormError, match="output_dtype int4"):
        quantize(Arguments({"input": HALVES, "output_dtype": "int4"}))
