"""Where the channels of a tensor go: an axis, followed through operators that move values about and change none."""

from math import prod
from typing import Any

from torch._ops import OpOverload
from torch.fx import Node

from .graph import arguments, as_node, aten

RESHAPES = (aten.view.default, aten.reshape.default, aten.flatten.using_ints, aten.reshape_as.default)
SAME_AXES = (aten.dropout.default, aten.clone.default, aten.contiguous.default)
SHAPE_OF = (aten.sym_size.int, aten.reshape_as.default, aten.expand_as.default, aten.view_as.default)
"""These read a shape, the last three that of their second argument."""


def value_readers(node: Node) -> list[Node]:
    """What reads more of a tensor than its shape."""
    return [user for user in node.users if user.target not in SHAPE_OF or _reads_values(user, node)]


def _reads_values(user: Node, node: Node) -> bool:
    return user.target != aten.sym_size.int and user.args[0] is node


def is_changed(node: Node) -> bool:
    """Whether something writes into a tensor, so that it matters when it is read."""
    return any(_writes(user) or (user.target in (*RESHAPES, *SAME_AXES) and is_changed(user)) for user in node.users)


def _writes(node: Node) -> bool:
    return isinstance(node.target, OpOverload) and node.target._schema.is_mutable


def rank_of(node: Node) -> int:
    """How many axes a tensor has."""
    return len(node.meta["val"].shape)


def axis_before(node: Node, axis: int) -> int | None:
    """Where an axis of what a node gives lies in its first argument; None where it does not lie there whole."""
    if node.target in SAME_AXES:
        return axis
    if node.target == aten.permute.default:
        return as_axes(node.args[1], rank_of(node))[axis]
    if node.target == aten.transpose.int:
        return _swapped(node, axis)
    return _same_place(node, as_node(node.args[0]), axis) if node.target in RESHAPES else None


def axis_after(node: Node, axis: int) -> int | None:
    """Where an axis of a node's first argument lies in what it gives; None where it does not lie there whole."""
    if node.target in SAME_AXES:
        return axis
    if node.target == aten.permute.default:
        return as_axes(node.args[1], rank_of(node)).index(axis)
    if node.target == aten.transpose.int:
        return _swapped(node, axis)
    if node.target == aten.mean.dim:
        return _past_mean(node, axis)
    return _same_place(as_node(node.args[0]), node, axis) if node.target in RESHAPES else None


def _swapped(transpose: Node, axis: int) -> int:
    one, other = as_axes(transpose.args[1:3], rank_of(transpose))
    return {one: other, other: one}.get(axis, axis)


def _past_mean(mean: Node, axis: int) -> int | None:
    """The mean of f x + o over other axes is that of x, times f, plus o."""
    _, axes, keep, *_ = arguments(mean)
    gone = as_axes(axes or (), rank_of(as_node(mean.args[0])))
    if axis in gone or not gone:
        return None
    return axis if keep else axis - sum(one < axis for one in gone)


def _same_place(known: Node, other: Node, axis: int) -> int | None:
    """The axis of another shape of the same numbers that is as long and has as many numbers behind it."""
    shape, wanted = known.meta["val"].shape, other.meta["val"].shape
    behind = prod(shape[axis + 1 :])
    places = (at for at, size in enumerate(wanted) if size == shape[axis] and prod(wanted[at + 1 :]) == behind)
    return next(places, None)


def as_axes(axes: Any, rank: int) -> list[int]:
    """Axes counted from the front."""
    return [axis % rank for axis in axes]
