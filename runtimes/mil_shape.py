"""The operators of MIL that move values and compute none: shapes, slices, gathers, padding."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from .mil_arguments import Arguments, Operator, UnknownFormError


def reshape(a: Arguments) -> Tensor:
    """A 0 stands for the size at the same place from the right, a -1 for what is left."""
    x, wanted = a.tensor("x"), a.ints("shape")
    shift = x.dim() - len(wanted)
    kept = [x.shape[i + shift] if i + shift >= 0 else 1 for i in range(len(wanted))]
    return x.reshape([size or old for size, old in zip(wanted, kept, strict=True)])


def transpose(a: Arguments) -> Tensor:
    """Axes in another order."""
    return a.tensor("x").permute(a.ints("perm"))


def squeeze(a: Arguments) -> Tensor:
    """Without these axes of size one, or without all of them."""
    x = a.tensor("x")
    return x.squeeze() if a.values.get("axes") is None else x.squeeze(a.ints("axes"))


def expand_dims(a: Arguments) -> Tensor:
    """New axes of size one, counted in the result."""
    x, axes = a.tensor("x"), a.ints("axes")
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def split(a: Arguments) -> tuple[Tensor, ...]:
    """Pieces along an axis, of given sizes or so many equal ones."""
    x, axis = a.tensor("x"), a.integer("axis")
    if a.values.get("split_sizes") is not None:
        return torch.split(x, a.ints("split_sizes"), axis)
    return torch.split(x, x.shape[axis] // a.integer("num_splits"), axis)


def concat(a: Arguments) -> Tensor:
    """One after the other, or interleaved."""
    values, axis = a.tensors("values"), a.integer("axis")
    if not a.flag("interleave"):
        return torch.cat(values, axis)
    axis %= values[0].dim()
    return torch.stack(values, axis + 1).flatten(axis, axis + 1)


def slices(a: Arguments) -> tuple[slice, ...]:
    """The slices of slice_by_index and slice_update."""
    rank = a.tensor("x").dim()
    begins, ends = a.ints("begin"), a.ints("end")
    strides = [1] * rank if a.values.get("stride") is None else a.ints("stride")
    free, open_, single = (
        [0] * rank if a.values.get(name) is None else a.ints(name)
        for name in ("begin_mask", "end_mask", "squeeze_mask")
    )
    return tuple(
        slice(begins[i], begins[i] + 1 or None)
        if single[i]
        else slice(None if free[i] else begins[i], None if open_[i] else ends[i], strides[i])
        for i in range(rank)
    )


def slice_by_index(a: Arguments) -> Tensor:
    """Slices as numpy takes them; an axis of `squeeze_mask` goes away."""
    x = a.tensor("x")
    for axis, part in enumerate(slices(a)):
        if part != slice(None, None, 1):  # torch's own slices do not step backwards
            x = x.index_select(axis, torch.tensor(range(*part.indices(x.shape[axis])), dtype=torch.long))
    if a.values.get("squeeze_mask") is None:
        return x
    return x.squeeze([axis for axis, single in enumerate(a.ints("squeeze_mask")) if single])


def slice_update(a: Arguments) -> Tensor:
    """`x` with a slice of it replaced."""
    parts, single = slices(a), a.values.get("squeeze_mask")
    if single is not None and any(a.ints("squeeze_mask")):
        raise UnknownFormError("squeeze_mask")
    if any((part.step or 1) < 0 for part in parts):
        raise UnknownFormError("negative stride")
    x = a.tensor("x").clone()
    x[parts] = a.tensor("update")
    return x


def slice_by_size(a: Arguments) -> Tensor:
    """So many values from a place on; -1 stands for all that are left."""
    x = a.tensor("x")
    for axis, (begin, size) in enumerate(zip(a.ints("begin"), a.ints("size"), strict=True)):
        begin = begin % x.shape[axis] if begin < 0 else begin  # noqa: PLW2901  (counted from the front)
        x = x.narrow(axis, begin, x.shape[axis] - begin if size == -1 else size)
    return x


def gather(a: Arguments) -> Tensor:
    """The places of `indices` along an axis."""
    x, indices, axis = a.tensor("x"), a.tensor("indices").long(), a.integer("axis")
    if a.values.get("batch_dims") is not None and a.integer("batch_dims"):
        raise UnknownFormError("batch_dims")
    axis %= x.dim()
    found = x.index_select(axis, _from_the_front(indices, x.shape[axis]).reshape(-1))
    return found.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def gather_along_axis(a: Arguments) -> Tensor:
    """Element by element the place along an axis."""
    x, axis = a.tensor("x"), a.integer("axis")
    return torch.gather(x, axis, _from_the_front(a.tensor("indices").long(), x.shape[axis]))


def gather_nd(a: Arguments) -> Tensor:
    """The elements at points: the last axis of `indices` holds coordinates."""
    if a.values.get("batch_dims") is not None and a.integer("batch_dims"):
        raise UnknownFormError("batch_dims")
    return a.tensor("x")[tuple(a.tensor("indices").long().unbind(-1))]


def _from_the_front(indices: Tensor, size: int) -> Tensor:
    return torch.where(indices < 0, indices + size, indices)


def scatter_nd(a: Arguments) -> Tensor:
    """`data` with what stands at points replaced, or added to."""
    mode = a.word("mode")
    if mode not in ("update", "add"):
        raise UnknownFormError(f"mode {mode}")
    points = tuple(a.tensor("indices").long().unbind(-1))
    return a.tensor("data").index_put(points, a.tensor("updates"), accumulate=mode == "add")


def pad(a: Arguments) -> Tensor:
    """More at both ends of the last axes: a constant, a mirror image, or the last value repeated."""
    x, amounts, mode = a.tensor("x"), a.ints("pad"), a.word("mode")
    first = x.dim() - len(amounts) // 2
    if mode == "constant":
        pairs = [amounts[i : i + 2] for i in range(0, len(amounts), 2)]
        return functional.pad(
            x, [amount for pair in reversed(pairs) for amount in pair], value=a.number("constant_val")
        )
    if mode not in ("reflect", "replicate"):
        raise UnknownFormError(f"mode {mode}")
    for axis in range(first, x.dim()):
        before, after = amounts[2 * (axis - first) : 2 * (axis - first) + 2]
        last = x.shape[axis] - 1
        places = torch.arange(-before, last + 1 + after)
        places = last - (last - places.abs()).abs() if mode == "reflect" else places.clamp(0, last)
        x = x.index_select(axis, places)
    return x


def crop(a: Arguments) -> Tensor:
    """Without so many rows and columns at either side."""
    x, (top, bottom), (left, right) = a.tensor("x"), a.ints("crop_height"), a.ints("crop_width")
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def space_to_depth(a: Arguments) -> Tensor:
    """Blocks of pixels become channels, the place in the block outermost."""
    (n, c, h, w), b = a.tensor("x").shape, a.integer("block_size")
    return a.tensor("x").reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4).reshape(n, -1, h // b, w // b)


def depth_to_space(a: Arguments) -> Tensor:
    """The inverse of space_to_depth."""
    (n, c, h, w), b = a.tensor("x").shape, a.integer("block_size")
    return a.tensor("x").reshape(n, b, b, -1, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)


def band_part(a: Arguments) -> Tensor:
    """A band around the diagonal; a negative bound is none."""
    x, lower, upper = a.tensor("x"), a.integer("lower"), a.integer("upper")
    x = torch.tril(x, upper) if upper >= 0 else x
    return torch.triu(x, -lower) if lower >= 0 else x


def one_hot(a: Arguments) -> Tensor:
    """`on_value` at the index, `off_value` elsewhere, along a new axis."""
    hot = functional.one_hot(a.tensor("indices").long(), a.integer("one_hot_vector_size")).movedim(
        -1, a.integer("axis")
    )
    return torch.where(hot.bool(), a.tensor("on_value"), a.tensor("off_value"))


def flatten2d(a: Arguments) -> Tensor:
    """The axes before one and those from it on."""
    x = a.tensor("x")
    axis = a.integer("axis") % x.dim()
    return x.reshape(math.prod(x.shape[:axis]), -1)


def reverse(a: Arguments) -> Tensor:
    """Back to front along some axes, or along all."""
    x = a.tensor("x")
    return x.flip(list(range(x.dim())) if a.values.get("axes") is None else a.ints("axes"))


SHAPE: dict[str, Operator] = {
    "band_part": band_part,
    "concat": concat,
    "crop": crop,
    "depth_to_space": depth_to_space,
    "expand_dims": expand_dims,
    "fill": lambda a: a.tensor("value").expand(a.ints("shape")),
    "fill_like": lambda a: a.tensor("value").expand(a.tensor("ref_tensor").shape),
    "flatten2d": flatten2d,
    "gather": gather,
    "gather_along_axis": gather_along_axis,
    "gather_nd": gather_nd,
    "identity": lambda a: a.tensor("x"),
    "one_hot": one_hot,
    "pad": pad,
    "pixel_shuffle": lambda a: functional.pixel_shuffle(a.tensor("x"), a.integer("upscale_factor")),
    "pixel_unshuffle": lambda a: functional.pixel_unshuffle(a.tensor("x"), a.integer("downscale_factor")),
    "range_1d": lambda a: torch.arange(*(a.tensor(name).item() for name in ("start", "end", "step"))),
    "reshape": reshape,
    "reverse": reverse,
    "scatter_nd": scatter_nd,
    "shape": lambda a: torch.tensor(a.tensor("x").shape),
    "slice_by_index": slice_by_index,
    "slice_by_size": slice_by_size,
    "slice_update": slice_update,
    "space_to_depth": space_to_depth,
    "split": split,
    "squeeze": squeeze,
    "stack": lambda a: torch.stack(a.tensors("values"), a.integer("axis")),
    "tile": lambda a: a.tensor("x").repeat(a.ints("reps")),
    "transpose": transpose,
}
