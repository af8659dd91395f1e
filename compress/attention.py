"""Attention as the two matrix products that it is, and the tensors that those read: what there is to round.

A product of two activations is attention's or one like it: queries with keys, the softmax with values. Some models
write them out, others call attention as one operator, whose inside nothing can reach; `split` writes that out too, and
is exact: softmax(scale * q k' + mask) v. `leave_float` goes back, for a target that gains nothing by the rounding.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.fx import GraphModule, Node, map_arg

from .binary_softmax import BINARY
from .graph import VIEWS, arguments, as_node, aten, of_images
from .ops import ROUNDING

ATTENTION = aten.scaled_dot_product_attention.default
PRODUCTS = (aten.matmul.default, aten.bmm.default)
SOFTMAX = (aten.softmax.int, aten._softmax.default)
WEIGHS = (*SOFTMAX, BINARY)
"""What may weigh values: a softmax, or one of one bit."""
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
    """The products of attention, and attention that is one operator, as they run.

    That is what a softmax weighs, and the queries with keys that it is taken of. Other products of what depends on the
    image are let alone: the residual stream may be among their factors, as where tokens are merged.
    """
    live = of_images(program)
    both = [one for one in program.graph.nodes if one.target in PRODUCTS and all(read in live for read in one.args[:2])]
    weighing = [product for product in both if _softmax_of(product)]
    wanted = {*weighing, *map(scores_of, weighing)}
    return [node for node in program.graph.nodes if node.target == ATTENTION or node in wanted]


def operands(program: GraphModule) -> list[Operand]:
    """What the products read, each tensor once; attention that is one operator does not show it, so `split` first."""
    found: dict[Node, Operand] = {}
    for product in find_products(program):
        if product.target in PRODUCTS:
            for operand in _factors(product):
                found.setdefault(operand.node, operand)
    return list(found.values())


def find_softmaxes(program: GraphModule) -> list[Node]:
    """The softmaxes by which values are weighed, in the order in which they run."""
    found = (_softmax_of(product) for product in find_products(program) if product.target in PRODUCTS)
    return list(dict.fromkeys(one for one in found if one is not None and one.target in SOFTMAX))


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


def is_rounded(program: GraphModule) -> bool:
    """Whether products of a program read what was rounded for them, and `leave_float` would undo."""
    return any(_undoes(operand) for operand in operands(program))


def leave_float(program: GraphModule) -> None:
    """Undo the rounding of what products read, in place, and make attention that is written out one operator again.

    Where the softmax has one bit, the values that it weighs stay rounded: it is for their sake.
    """
    for operand in operands(program):
        if _undoes(operand):
            operand.node.replace_all_uses_with(as_node(operand.node.args[0]))
            program.graph.erase_node(operand.node)
    for product in find_products(program):
        _write_as_one(product)
    program.graph.eliminate_dead_code()
    program.recompile()


def _undoes(operand: Operand) -> bool:
    products = (reader for reader in operand.node.users if reader.target in PRODUCTS)
    binary = (softmax for softmax in map(_softmax_of, products) if softmax and softmax.target == BINARY)
    return operand.node.target in ROUNDING and not any(binary)


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
    softmax = _softmax_of(product) if product.target in PRODUCTS else None
    if softmax is None:
        return None
    node = as_node(softmax.args[0])
    while node.target in (*BETWEEN, *VIEWS):
        inputs = [one for one in node.args[:2] if isinstance(one, Node)]
        node = next((one for one in inputs if _leads_to_product(one)), inputs[0])
    return node if node.target in PRODUCTS else None


def _softmax_of(product: Node) -> Node | None:
    """The softmax among what a product reads, behind views and rounding."""
    return next((found for factor in product.args[:2] if (found := _computed(factor)).target in WEIGHS), None)


def _computed(factor: Any) -> Node:
    """Where values were computed, before they were moved about and rounded."""
    while factor.target in (*VIEWS, *ROUNDING):
        factor = factor.args[0]
    return as_node(factor)


def _leads_to_product(node: Node) -> bool:
    while node.target in (*BETWEEN, *VIEWS):
        node = as_node(node.args[0])
    return node.target in PRODUCTS


def _factors(product: Node) -> Iterator[Operand]:
    """What a product reads, but for a softmax of one bit: there is nothing left to round."""
    left, right = (as_node(factor) for factor in product.args[:2])
    weighs = _computed(left).target in WEIGHS, _computed(right).target in WEIGHS
    roles: tuple[Role, Role] = ("query", "key")
    if any(weighs):
        roles = ("softmax", "value") if weighs[0] else ("value", "softmax")
    for factor, role in zip((left, right), roles, strict=True):
        if _computed(factor).target is not BINARY:
            yield Operand(factor, role)


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


def _write_as_one(product: Node) -> None:
    """The inverse of `_write_out`, where `product` ends what it wrote; a factor of the queries may be missing."""
    softmax = _call_of(product.args[0], aten.softmax.int)
    scores = softmax and as_node(softmax.args[0])
    biased = _call_of(scores, aten.add.Tensor)
    first = _call_of(biased.args[0] if biased else scores, aten.matmul.default)
    turned = first and _call_of(first.args[1], aten.transpose.int)
    if softmax is None or first is None or turned is None:
        return
    if softmax.args[1] != -1 or turned.args[1:] != (-2, -1):
        return
    query, factor = as_node(first.args[0]), 1.0
    scaled = _call_of(query, aten.mul.Tensor)
    if scaled is not None and isinstance(scaled.args[1], float):
        query, factor = as_node(scaled.args[0]), scaled.args[1]
    given = (query, turned.args[0], product.args[1], biased.args[1] if biased else None)
    with product.graph.inserting_before(product):
        whole = product.graph.call_function(ATTENTION, given, {"scale": factor})
    whole.meta["val"] = product.meta["val"]
    product.replace_all_uses_with(whole)


def _call_of(argument: object, operator: Any) -> Node | None:
    """A call of an operator whose result is read once; None of anything else."""
    if isinstance(argument, Node) and argument.target == operator and len(argument.users) == 1:
        return argument
    return None


def _call(program: GraphModule, operator: Any, *args: Any) -> Node:
    """A node that knows the shape of its result, as traced ones do."""
    node = program.graph.call_function(operator, args)
    node.meta["val"] = operator(*map_arg(args, lambda read: read.meta["val"]))
    return node
