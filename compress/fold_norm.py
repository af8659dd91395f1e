"""Batch norms and layer scales, folded into the convolution or the linear beside them: exact, and one rounding less.

In eval mode both multiply each channel by a number and add another. Where nobody else sees what lies between, the layer
that writes the channels takes them into its weights: (W x + b) f + o = (f W) x + (f b + o). Where it cannot, the layers
that read them do, W (f x + o) + b = (W f) x + (W o + b), but not a padded convolution where o is not zero: what it pads
is no o.
"""

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from .channels import axis_after, axis_before, is_changed, rank_of, value_readers
from .graph import WEIGHTED, arguments, as_node, aten, channel_axis, tensor
from .parameters import bias_of, has_own_weight, set_bias, set_weight, weight_of

NORM = aten._native_batch_norm_legit_no_training.default
"""What a decomposed program calls a batch norm; it gives a tuple."""


@dataclass(frozen=True)
class Affine:
    """What a node does to each channel of what it reads: x * factor + offset, along an axis."""

    node: Node
    source: Node
    factor: Tensor
    offset: Tensor
    axis: int


def fold(program: GraphModule) -> int:
    """Fold what can be folded, in place; how many batch norms and multiplications are gone."""
    folded = 0
    for node in list(program.graph.nodes):
        affine = _affine(program, node)
        if affine is not None and (_into_writer(program, affine) or _into_readers(program, affine)):
            affine.node.replace_all_uses_with(affine.source)
            for dead in (node, *node.all_input_nodes):  # at once: what is folded next counts readers
                if not dead.users:
                    program.graph.erase_node(dead)
            folded += 1
    program.graph.eliminate_dead_code()
    program.recompile()
    return folded


def _affine(program: GraphModule, node: Node) -> Affine | None:
    """What the node does, if it is a batch norm of stored statistics or a product with a stored vector."""
    if node.target == aten.batch_norm.default and not arguments(node)[5]:
        return _norm(program, node, arguments(node)[:5], arguments(node)[7])
    if node.target is operator.getitem and node.args[1] == 0 and as_node(node.args[0]).target == NORM:
        norm = arguments(as_node(node.args[0]))
        return _norm(program, node, norm[:5], norm[6])
    if node.target == aten.mul.Tensor:
        for source, other in (node.args[:2], node.args[1::-1]):
            if isinstance(source, Node) and (vector := _stored(program, other)) is not None:
                return _product(node, source, vector)
    return None


def _norm(program: GraphModule, node: Node, inputs: tuple[Any, ...], epsilon: float) -> Affine | None:
    source, *given = inputs
    weight, bias, mean, variance = (None if one is None else _stored(program, one) for one in given)
    if mean is None or variance is None or any(one is not None and _stored(program, one) is None for one in given):
        return None
    factor = (variance + epsilon).rsqrt() * (1 if weight is None else weight)
    return Affine(node, source, factor, (0 if bias is None else bias) - mean * factor, 1)


def _product(node: Node, source: Node, vector: Tensor) -> Affine | None:
    """A product with numbers that lie along one axis of what is multiplied."""
    rank, shape = rank_of(node), source.meta["val"].shape
    long = [axis for axis, size in enumerate(vector.shape) if size != 1]
    if len(long) != 1 or len(shape) != rank:
        return None
    axis = long[0] - vector.dim() + rank
    if shape[axis] != vector.numel():
        return None
    return Affine(node, source, vector.flatten(), torch.zeros(vector.numel(), dtype=vector.dtype), axis)


def _stored(program: GraphModule, argument: object) -> Tensor | None:
    """A tensor of the program in double precision, possibly reshaped; None of what is computed."""
    if not isinstance(argument, Node):
        return None
    if argument.op == "get_attr":
        return tensor(program, argument).double()
    if argument.target in (aten.view.default, aten.reshape.default) and len(argument.all_input_nodes) == 1:
        stored = _stored(program, argument.args[0])
        return None if stored is None else stored.reshape(argument.args[1])  # type: ignore[arg-type]
    return None


def _into_writer(program: GraphModule, affine: Affine) -> bool:
    """Give factor and offset to the layer that makes the channels, if nobody sees them on the way."""
    node, axis = affine.source, affine.axis
    while len(value_readers(node)) == 1:
        if node.target in WEIGHTED:
            at = axis == channel_axis(node) % rank_of(node)
            return at and has_own_weight(program, node) and _give(program, node, affine.factor, affine.offset)
        before = axis_before(node, axis)
        if before is None:
            return False
        node, axis = as_node(node.args[0]), before
    return False


def _give(program: GraphModule, site: Node, factor: Tensor, offset: Tensor) -> bool:
    """Scale a layer's outputs, and move them."""
    weight, bias = weight_of(program, site), bias_of(program, site)
    set_weight(program, site, weight * factor.view(-1, *[1] * (weight.dim() - 1)))
    set_bias(program, site, bias * factor + offset)
    return True


def _into_readers(program: GraphModule, affine: Affine) -> bool:
    """Give factor and offset to the layers that read the channels, if all do and none pads."""
    if is_changed(affine.source):
        return False
    sites = _reading_sites(affine.node, affine.axis)
    if not sites or not all(has_own_weight(program, site) and _takes(site, affine) for site in sites):
        return False
    for site in sites:
        weight, bias = weight_of(program, site), bias_of(program, site)
        factor, offset = (_by_input(site, weight, one) for one in (affine.factor, affine.offset))
        set_weight(program, site, weight * factor)
        set_bias(program, site, bias + (weight * offset).flatten(1).sum(1))
    return True


def _reading_sites(node: Node, axis: int) -> list[Node]:
    """The layers that read a tensor's channels, past what keeps them apart; none if anything else reads them."""
    sites: list[Node] = []
    for user in value_readers(node):
        if user.target in WEIGHTED and user.args[0] is node and axis == channel_axis(user) % rank_of(node):
            sites.append(user)
        elif user.args and user.args[0] is node and (after := axis_after(user, axis)) is not None:
            further = _reading_sites(user, after)
            if not further:
                return []
            sites += further
        else:
            return []
    return sites


def _takes(site: Node, affine: Affine) -> bool:
    """Whether a layer can take the offset: a convolution must not pad."""
    if site.target != aten.conv2d.default:
        return True
    padding = arguments(site)[4]
    return not affine.offset.any() or not any(padding)


def _by_input(site: Node, weight: Tensor, values: Tensor) -> Tensor:
    """One value an input channel, in the shape that meets the weight; outputs of a group see the group's inputs."""
    if site.target != aten.conv2d.default:
        return values
    groups = arguments(site)[6]
    return values.view(groups, -1).repeat_interleave(len(weight) // groups, 0)[..., None, None]
