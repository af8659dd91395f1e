"""The operators of MIL that look at an image through windows or at another size: pooling, upsampling, resizing."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from .mil_arguments import Arguments, Operator, UnknownFormError
from .mil_linear import padded, paddings

_AVERAGE: tuple[Callable[..., Tensor], ...] = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)
_MAXIMUM: tuple[Callable[..., Tensor], ...] = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)


def avg_pool(a: Arguments) -> Tensor:
    """The mean of each window, with the padding counted as zeros or not at all."""
    x, sizes, strides = a.tensor("x"), a.ints("kernel_sizes"), a.ints("strides")
    pairs, pool = paddings(a, x.shape[2:], sizes), _AVERAGE[len(sizes) - 1]
    counted = not a.flag("exclude_padding_from_average")
    if a.flag("ceil_mode"):  # torch's rule for windows that begin in the padding is Core ML's
        around = [before for before, _ in pairs]
        return pool(x, sizes, strides, around, ceil_mode=True, count_include_pad=counted)
    mean = pool(padded(x, pairs), sizes, strides)
    return mean if counted else mean / pool(padded(torch.ones_like(x), pairs), sizes, strides)


def max_pool(a: Arguments) -> Tensor:
    """The largest of each window."""
    x, sizes, strides = a.tensor("x"), a.ints("kernel_sizes"), a.ints("strides")
    pairs, pool = paddings(a, x.shape[2:], sizes), _MAXIMUM[len(sizes) - 1]
    if a.flag("ceil_mode"):
        return pool(x, sizes, strides, [before for before, _ in pairs], ceil_mode=True)
    return pool(padded(x, pairs, -math.inf), sizes, strides)


def upsample_bilinear(a: Arguments) -> Tensor:
    """Larger by factors; the scale follows from the sizes."""
    if a.values.get("half_pixel_centers") is not None and a.flag("half_pixel_centers") == a.flag("align_corners"):
        raise UnknownFormError("half_pixel_centers equal to align_corners")
    mode = "STRICT_ALIGN_CORNERS" if a.flag("align_corners") else "UNALIGN_CORNERS"
    return bilinear(a.tensor("x"), _target(a), mode)


def upsample_nearest(a: Arguments) -> Tensor:
    """Larger by factors, without new values."""
    return nearest(a.tensor("x"), _target(a))


def _target(a: Arguments) -> tuple[int, int]:
    height, width = a.tensor("x").shape[-2:]
    return int(height * a.number("scale_factor_height")), int(width * a.number("scale_factor_width"))


def resize_bilinear(a: Arguments) -> Tensor:
    """To a size, with the sampling points of a mode."""
    target = a.integer("target_size_height"), a.integer("target_size_width")
    return bilinear(a.tensor("x"), target, a.word("sampling_mode"))


def resize_nearest(a: Arguments) -> Tensor:
    """To a size, without new values."""
    return nearest(a.tensor("x"), (a.integer("target_size_height"), a.integer("target_size_width")))


def resize(a: Arguments) -> Tensor:
    """To the last sizes of `shape`, where 0 keeps the old one."""
    x, wanted, dims = a.tensor("x"), a.ints("shape"), a.integer("resized_dims")
    if dims != 2:
        raise UnknownFormError(f"resized_dims {dims}")
    height, width = (size or old for size, old in zip(wanted[-2:], x.shape[-2:], strict=True))
    if a.word("interpolation_mode") == "LINEAR":
        return bilinear(x, (height, width), a.word("sampling_mode"))
    if a.word("sampling_mode") != "DEFAULT":
        raise UnknownFormError(f"nearest neighbours with sampling_mode {a.word('sampling_mode')}")
    return nearest(x, (height, width))


def points(before: int, after: int, mode: str) -> Tensor:
    """Where the `after` new values of an axis lie between its `before` old ones."""
    i = torch.arange(after, dtype=torch.float64)
    if mode == "ALIGN_CORNERS" and after == 1:
        places = i + (before - 1) / 2
    elif mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        places = i * (before - 1) / max(after - 1, 1)
    elif mode == "DEFAULT":
        places = i * before / after
    elif mode == "OFFSET_CORNERS":
        places = (i + 0.5) * max(1, before - 1) / after
    elif mode == "UNALIGN_CORNERS":
        places = (i + 0.5) * before / after - 0.5
    else:
        raise UnknownFormError(f"sampling_mode {mode}")
    return places.clamp(0, before - 1)


def bilinear(x: Tensor, target: tuple[int, int], mode: str) -> Tensor:
    """The last two axes at another size, linear between the old values."""
    rows, columns = (mixing(before, after, mode) for before, after in zip(x.shape[-2:], target, strict=True))
    return rows @ x @ columns.T


def mixing(before: int, after: int, mode: str) -> Tensor:
    """The share of every old value in every new one, [after, before]."""
    places = points(before, after, mode)
    return (1 - (places[:, None] - torch.arange(before)).abs()).clamp(min=0).float()


def nearest(x: Tensor, target: tuple[int, int]) -> Tensor:
    """The last two axes at another size, each new value the old one at or before its place."""
    for axis, after in zip((-2, -1), target, strict=True):
        x = x.index_select(axis, torch.arange(after) * x.shape[axis] // after)
    return x


IMAGE: dict[str, Operator] = {
    "avg_pool": avg_pool,
    "max_pool": max_pool,
    "resize": resize,
    "resize_bilinear": resize_bilinear,
    "resize_nearest_neighbor": resize_nearest,
    "upsample_bilinear": upsample_bilinear,
    "upsample_nearest_neighbor": upsample_nearest,
}
