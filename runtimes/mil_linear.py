"""The operators of MIL that multiply matrices: linear, matmul, einsum, convolutions, attention."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .mil_arguments import Arguments, Operator, UnknownFormError
from .mil_elementwise import per_channel


def linear(a: Arguments) -> Tensor:
    """A product with the weights transposed, and a bias."""
    return functional.linear(a.tensor("x"), a.tensor("weight"), a.maybe("bias"))


def matmul(a: Arguments) -> Tensor:
    """A product of two matrices, each transposed where asked."""
    x, y = a.tensor("x"), a.tensor("y")
    return torch.matmul(
        x.transpose(-1, -2) if a.flag("transpose_x") else x, y.transpose(-1, -2) if a.flag("transpose_y") else y
    )


def einsum(a: Arguments) -> Tensor:
    """A product of two tensors by Einstein's summation; sizes of one are broadcast."""
    return torch.einsum(a.word("equation"), *a.tensors("values"))


def attention(a: Arguments) -> Tensor:
    """softmax(q @ k.T / sqrt(width) + mask) @ v; a mask of yes and no says who is looked at."""
    mask = a.maybe("attn_mask")
    return functional.scaled_dot_product_attention(a.tensor("query"), a.tensor("key"), a.tensor("value"), mask)


def paddings(a: Arguments, sizes: Sequence[int], spans: Sequence[int]) -> list[tuple[int, int]]:
    """Before and after each axis of `sizes`, for windows that reach over `spans`."""
    kind = a.word("pad_type")
    if kind == "valid":
        return [(0, 0)] * len(sizes)
    if kind == "custom":
        amounts = a.ints("pad")
        return list(zip(amounts[::2], amounts[1::2], strict=True))
    if kind not in ("same", "same_lower"):
        raise UnknownFormError(f"pad_type {kind}")
    pairs = []
    for size, span, stride in zip(sizes, spans, a.ints("strides"), strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + span - size)
        less, more = total // 2, total - total // 2
        pairs.append((less, more) if kind == "same" else (more, less))
    return pairs


def padded(x: Tensor, pairs: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """`x` with so many values before and after its last axes."""
    return functional.pad(x, [amount for pair in reversed(pairs) for amount in pair], value=value)


def conv(a: Arguments) -> Tensor:
    """A convolution over one, two or three axes."""
    x, weight, dilations = a.tensor("x"), a.tensor("weight"), a.ints("dilations")
    spans = [(size - 1) * step + 1 for size, step in zip(weight.shape[2:], dilations, strict=True)]
    pairs = paddings(a, x.shape[2:], spans)
    if any(before != after for before, after in pairs):
        x, pairs = padded(x, pairs), [(0, 0)] * len(pairs)
    around, none = [before for before, _ in pairs], [0] * len(pairs)
    bias, strides, groups = a.maybe("bias"), a.ints("strides"), a.integer("groups")
    shape = strides, around, dilations
    return torch.convolution(x, weight, bias, *shape, transposed=False, output_padding=none, groups=groups)


def conv_transpose(a: Arguments) -> Tensor:
    """The gradient of a convolution: everything that it reaches, cut to the size that is asked for."""
    x, weight, strides, dilations = a.tensor("x"), a.tensor("weight"), a.ints("strides"), a.ints("dilations")
    none = [0] * len(strides)
    groups, shape = a.integer("groups"), (strides, none, dilations)
    whole = torch.convolution(x, weight, None, *shape, transposed=True, output_padding=none, groups=groups)
    ends = _ends(a, x, whole)
    cut = padded(whole, [(-before, -after) for before, after in ends])
    bias = a.maybe("bias")
    return cut if bias is None else cut + per_channel(bias, cut)


def _ends(a: Arguments, x: Tensor, whole: Tensor) -> list[tuple[int, int]]:
    """What is cut off before and after each axis; below zero, what is added."""
    kind, pairs = a.word("pad_type"), [(0, 0)] * (x.dim() - 2)
    if kind == "custom":
        amounts = a.ints("pad")
        pairs = list(zip(amounts[::2], amounts[1::2], strict=True))
    elif kind == "same":
        wanted = [size * stride for size, stride in zip(x.shape[2:], a.ints("strides"), strict=True)]
        totals = [size - want for size, want in zip(whole.shape[2:], wanted, strict=True)]
        pairs = [(total // 2, total - total // 2) if total > 0 else (0, total) for total in totals]
    elif kind != "valid":
        raise UnknownFormError(f"pad_type {kind}")
    if a.values.get("output_shape") is None:
        return pairs
    sizes = zip(pairs, whole.shape[2:], a.ints("output_shape")[2:], strict=True)
    return [(before, size - before - wanted) for (before, _), size, wanted in sizes]


LINEAR: dict[str, Operator] = {
    "conv": conv,
    "conv_transpose": conv_transpose,
    "einsum": einsum,
    "linear": linear,
    "matmul": matmul,
    "scaled_dot_product_attention": attention,
}
