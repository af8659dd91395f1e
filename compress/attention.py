"""Attention as the two matrix products that it is, and the tensors that those read: what there is to round.

A product of two activations is attention's or one like it: queries with keys, the softmax with values. Some models
write them out, others call attention as one operator, whose inside nothing can reach; `split` writes that out too, and
is exact: softmax(scale * q k' + mask) v.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.fx import GraphModule, Node, map_arg

from .graph import VIEWS, arguments, as_node, aten, of_images

ATTENTION = aten.scaled_dot_product_attention.default
PRODUCTS = (aten.matmul.default, aten.bmm.default)
SOFTMAX = (aten.softmax.int, aten._softmax.default)
CHOICES = (aten.max.dim, aten.topk.default, aten.eq.Tensor)
"""What tells one token from another, as merging does: its products are no attention."""
BETWEEN = (aten.add.Tensor, aten.mul.Tensor, aten.div.Tensor)
"""What may happen to scores before their softmax is taken."""

Role = Literal["query", "key", "value", "softmax"]


@dataclass(frozen=True)
class Operand:
    """A tensor that a product of two activations reads."""

    node: Node
    role: Role
    """The softmax lies between 0 and 1; what it weighs is the value. Any other product is of queries with keys."""


def find_products(program: GraphModule) -> list[Node]:
    """Products of two tensors that both depend on the image, and attention that is one operator; as they run.

    Products by which tokens are chosen and put together are left out.
    """
    live = of_images(program)
    return [
        node
        for node in program.graph.nodes
        if node.target == ATTENTION
        or (node.target in PRODUCTS and all(factor in live for factor in node.args[:2]) and not _chooses(node))
    ]


def _chooses(product: Node) -> bool:
    """Whether a product is read by a choice, or has a factor that is made of one."""
    weights = as_node(product.args[0])
    while weights.target in (*BETWEEN, *VIEWS):
        weights = as_node(weights.args[0])
    return weights.target in CHOICES or any(reader.target in CHOICES for reader in product.users)


def operands(program: GraphModule) -> list[Operand]:
    """What the products read, each tensor once; attention that is one operator does not show it, so `split` first."""
    found: dict[Node, Operand] = {}
    for product in find_products(program):
        if product.target in PRODUCTS:
            for operand in _factors(product):
                found.setdefault(operand.node, operand)
    return list(found.values())


def split(program: GraphModule) -> int:
    """Write out every attention that is one operator, in place; how many were.

    Causal and grouped attention stays, and so does one with a mask of truth values, which may leave a row with nothing
    to attend to.
    """
    found = [node for node in program.graph.find_nodes(op="call_function", target=ATTENTION) if _is_plain(node)]
    for node in found:
        _write_out(program, node)
    program.recompile()
    return len(found)


def ranges_of(program: GraphModule, extremes: Mapping[Node, tuple[float, float]]) -> dict[Node, tuple[float, float]]:
    """The range by which each operand is rounded, from the least and the greatest value that it was seen to hold.

    That of the softmax begins with 0. Queries, keys and values of one attention have one range, symmetric, that fits
    all three: where they were balanced nothing is lost by that, and a projection that gives them is rounded as a whole.
    """
    products = [product for product in find_products(program) if product.target in PRODUCTS]
    ends = {scores_of(product): product for product in products}
    parts = [(ends.get(product, product), operand) for product in products for operand in _factors(product)]
    reach: dict[Node, float] = {}
    for end, operand in parts:
        if operand.role != "softmax":
            reach[end] = max(reach.get(end, 0.0), *map(abs, extremes[operand.node]))
    ranges: dict[Node, tuple[float, float]] = {}
    for end, operand in parts:
        high = extremes[operand.node][1] if operand.role == "softmax" else reach[end]
        before = ranges.get(operand.node, (0.0, 0.0))
        ranges[operand.node] = min(before[0], 0.0 if operand.role == "softmax" else -high), max(before[1], high)
    return ranges


def scores_of(product: Node) -> Node | None:
    """The product of queries and keys by whose softmax values are weighed; factors, masks and tables lie between."""
    if product.target not in PRODUCTS or (softmax := behind_views(as_node(product.args[0]))).target not in SOFTMAX:
        return None
    node = as_node(softmax.args[0])
    while node.target in (*BETWEEN, *VIEWS):
        inputs = [one for one in node.args[:2] if isinstance(one, Node)]
        node = next((one for one in inputs if _leads_to_product(one)), inputs[0])
    return node if node.target in PRODUCTS else None


def behind_views(node: Node) -> Node:
    """Where a tensor's values were computed, before they were moved about."""
    while node.target in VIEWS:
        node = as_node(node.args[0])
    return node


def _leads_to_product(node: Node) -> bool:
    while node.target in (*BETWEEN, *VIEWS):
        node = as_node(node.args[0])
    return node.target in PRODUCTS


def _factors(product: Node) -> Iterator[Operand]:
    left, right = (as_node(factor) for factor in product.args[:2])
    weighs = behind_views(left).target in SOFTMAX, behind_views(right).target in SOFTMAX
    roles: tuple[Role, Role] = ("query", "key")
    if any(weighs):
        roles = ("softmax", "value") if weighs[0] else ("value", "softmax")
    yield Operand(left, roles[0])
    yield Operand(right, roles[1])


def _is_plain(attention: Node) -> bool:
    _, _, _, mask, dropout, causal, _, grouped = arguments(attention)
    truths = mask is not None and mask.meta["val"].dtype == torch.bool
    return not (truths or dropout or causal or grouped)


def _write_out(program: GraphModule, attention: Node) -> None:
    query, key, value, mask, _, _, scale, _ = arguments(attention)
    factor = query.meta["val"].shape[-1] ** -0.5 if scale is None else scale
    with program.graph.inserting_before(attention):
        scaled = _call(program, aten.mul.Tensor, query, factor)
        scores = _call(program, aten.matmul.default, scaled, _call(program, aten.transpose.int, key, -2, -1))
        if mask is not None:
            scores = _call(program, aten.add.Tensor, scores, mask)
        shares = _call(program, aten.softmax.int, scores, -1)
        result = _call(program, aten.matmul.default, shares, value)
    attention.replace_all_uses_with(result)
    program.graph.erase_node(attention)  # as dead code it would stay: torch holds it for random


def _call(program: GraphModule, operator: Any, *args: Any) -> Node:
    """A node that knows the shape of its result, as traced ones do."""
    node = program.graph.call_function(operator, args)
    node.meta["val"] = operator(*map_arg(args, lambda read: read.meta["val"]))
    return node
