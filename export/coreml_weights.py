"""Weights in a Core ML program: integer codes, packed by their bits, that the device unfolds to floats.

Eight bits (and five to seven, which Core ML cannot pack) are bytes times a scale. Four bits are packed in pairs, a form
that iOS 18 brought. Three bits and fewer are indices into a palette a channel, iOS 18's too: a palette holds any set of
values, so one bit is -scale and scale exactly. Either way the floats are codes * scale, rounded to 16 bits.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

NARROWEST_BYTES = 5
"""Codes of as many bits are stored in bytes."""
WIDEST_PALETTE = 3
"""Codes of at most so many bits are stored as indices of a palette."""
WIDEST_SIGNS = 2
"""Codes of at most so many bits may be odd."""


def deployment_target(bits: int) -> str:
    """The oldest system that reads weights of so many bits beside quantized activations."""
    return "iOS17" if bits >= NARROWEST_BYTES else "iOS18"


def packed(codes: NDArray[np.int8], scale: NDArray[np.float32], bits: int, name: str) -> Any:
    """The weight codes * scale, output channels first, as a value of the program that is being built."""
    from coremltools.converters.mil import Builder

    # Programs are built in 32 bits; that coremltools turns them to 16 cancels this cast, and leaves the name as it is.
    return Builder.cast(x=_stored(codes, _half(scale), bits, name), dtype="fp32")


def _stored(codes: NDArray[np.int8], scale: NDArray[np.float16], bits: int, name: str) -> Any:
    from coremltools import target
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil.block import is_current_opset_version_compatible_with as speaks

    per_channel = scale.reshape(-1, *[1] * (codes.ndim - 1))
    if bits <= WIDEST_PALETTE:
        indices, values = palette(codes, bits)
        table = per_channel[..., None, None] * values[:, None]
        return Builder.constexpr_lut_to_dense(indices=indices.astype(_integer(f"uint{bits}")), lut=table, name=name)
    if not speaks(target.iOS18):
        zero = np.int8(0)
        return Builder.constexpr_affine_dequantize(
            quantized_data=codes, zero_point=zero, scale=scale, axis=0, name=name
        )
    data = codes.astype(_integer("int4")) if bits < NARROWEST_BYTES else codes
    return Builder.constexpr_blockwise_shift_scale(data=data, scale=per_channel, name=name)


def _half(scale: NDArray[np.float32]) -> NDArray[np.float16]:
    """The scales in 16 bits; none becomes zero, which Core ML may refuse."""
    return np.maximum(scale, np.finfo(np.float16).smallest_subnormal).astype(np.float16)


def palette(codes: NDArray[np.int8], bits: int) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Indices, and the 2**bits codes that they stand for: whole numbers, or odd ones, as sums of signs are."""
    if bits <= WIDEST_SIGNS and (codes % 2 == 1).all():
        lowest = 1 - 2**bits
        return ((codes - lowest) // 2).astype(np.uint8), np.arange(lowest, 1 - lowest, 2, dtype=np.float16)
    lowest = -(2 ** (bits - 1))
    return (codes.astype(np.int16) - lowest).astype(np.uint8), np.arange(lowest, -lowest, dtype=np.float16)


def _integer(name: str) -> Any:
    """The type that coremltools taught numpy, narrower than a byte."""
    from coremltools.converters.mil.mil import types

    return types.nptype_from_builtin(types.string_to_builtin(name))
