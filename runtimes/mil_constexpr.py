"""The operators of MIL that keep numbers in fewer bits: quantize, dequantize and the constexpr family.

`quantize` rounds halves to even, as torch does, and coremltools where it folds constants; Apple's description says
"round" and no more.
"""

import torch
from torch import Tensor

from .mil_arguments import Arguments, Operator, UnknownFormError

_RANGES = {"int8": (-128, 127, torch.int8), "uint8": (0, 255, torch.uint8)}


def along(values: Tensor, x: Tensor, a: Arguments) -> Tensor:
    """One value for all of `x`, or a vector along its `axis`."""
    if values.dim() == 0:
        return values
    view = [1] * x.dim()
    view[a.integer("axis")] = -1
    return values.reshape(view)


def quantize(a: Arguments) -> Tensor:
    """clip(round(input / scale) + zero_point)."""
    x, name = a.tensor("input"), a.word("output_dtype")
    if name not in _RANGES:
        raise UnknownFormError(f"output_dtype {name}")
    lowest, highest, kind = _RANGES[name]
    codes = (x / along(a.tensor("scale"), x, a)).round_()
    zero_point = a.maybe("zero_point")
    if zero_point is not None:
        codes += along(zero_point, x, a)
    return codes.clamp_(lowest, highest).to(kind)


def dequantize(a: Arguments) -> Tensor:
    """(input - zero_point) * scale."""
    return _affine(a, a.tensor("input"))


def affine_dequantize(a: Arguments) -> Tensor:
    """(quantized_data - zero_point) * scale."""
    return _affine(a, a.tensor("quantized_data"))


def _affine(a: Arguments, codes: Tensor) -> Tensor:
    zero_point, values = a.maybe("zero_point"), codes.float()
    if zero_point is not None:
        values = values - along(zero_point, codes, a)
    return values * along(a.tensor("scale"), codes, a)


def blockwise_shift_scale(a: Arguments) -> Tensor:
    """(data - offset) * scale, each scale for a block; sizes say how large it is."""
    data, offset = a.tensor("data").float(), a.maybe("offset")
    if offset is not None:
        data = data - spread(offset, data.shape)
    return data * spread(a.tensor("scale"), data.shape)


def spread(values: Tensor, shape: torch.Size) -> Tensor:
    """Every value repeated over its block, so that there is one for each element of `shape`."""
    for axis, size in enumerate(shape):
        if values.shape[axis] != size:
            values = values.repeat_interleave(size // values.shape[axis], axis)
    return values


def lut_to_dense(a: Arguments) -> Tensor:
    """Values looked up in a palette.

    Two forms: one palette for packed bits (iOS 16), or one for each block of unpacked indices (iOS 18), whose entries
    may be vectors along `vector_axis`.
    """
    lut, indices = a.tensor("lut"), a.tensor("indices")
    if "shape" in a.values:
        shape = a.ints("shape")
        return lut[unpacked(indices, (len(lut) - 1).bit_length(), shape)]
    places = indices.long()
    blocks = [torch.arange(size) // (size // lut.shape[axis]) for axis, size in enumerate(places.shape)]
    grid = torch.meshgrid(*blocks, indexing="ij")
    values = lut[(*grid, places)]
    if values.shape[-1] == 1:
        return values.squeeze(-1)
    axis = a.integer("vector_axis") % places.dim()
    return values.movedim(-1, axis + 1).flatten(axis, axis + 1)


def unpacked(codes: Tensor, bits: int, shape: list[int]) -> Tensor:
    """Indices of so many bits from bytes, the lowest bits first."""
    stream = (codes.long().reshape(-1, 1) >> torch.arange(8)) & 1
    count = int(torch.tensor(shape).prod())
    fields = stream.reshape(-1)[: count * bits].reshape(count, bits)
    return (fields << torch.arange(bits)).sum(1).reshape(shape)


def sparse_to_dense(a: Arguments) -> Tensor:
    """Values where a mask is set, zero elsewhere; the mask is packed bits with a shape (iOS 16) or is unpacked."""
    data, mask = a.tensor("nonzero_data"), a.tensor("mask")
    mask = unpacked(mask, 1, a.ints("shape")) if "shape" in a.values else mask
    dense = torch.zeros(mask.shape, dtype=data.dtype)
    dense[mask.bool()] = data
    return dense


CONSTEXPR: dict[str, Operator] = {
    "constexpr_affine_dequantize": affine_dequantize,
    "constexpr_blockwise_shift_scale": blockwise_shift_scale,
    "constexpr_cast": lambda a: a.tensor("source_val"),
    "constexpr_lut_to_dense": lut_to_dense,
    "constexpr_sparse_to_dense": sparse_to_dense,
    "dequantize": dequantize,
    "quantize": quantize,
}
