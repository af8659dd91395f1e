"""Dimensions of queries and keys: the scores q'k of a head, by fewer products, and as near to what they were as can be.

CORP (arXiv 2602.05243) keeps some dimensions and has a small matrix between them make up for the others. With that
matrix free, the best there is has a closed form: of S = sum q q' and C = sum (k - mean)(k - mean)', taken over the
images, the truncated singular value decomposition of S^1/2 C^1/2 gives the M of the lowest rank with q'M k nearest to
q'k. Both sides of M go into the linears. Keys count about the mean of their image, as a softmax does not see what all
scores of a query have in common. The scale stays what it was, though heads are narrower.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ...models.data import Batches
from ..graph import arguments, as_node, layer
from ..observe import check_finite, watch
from ..parameters import bias_of, set_bias, set_weight, weight_of
from .heads import Heads, Part, separate
from .hidden import BATCH, rebatched
from .trials import Parameters

FLOOR = 1e-6
"""What queries and keys are taken to hold along every axis, of the mean; and the least of an axis, of the largest."""


@dataclass(frozen=True)
class QueryRoom:
    """The queries and keys of one attention."""

    attention: Node
    query: Part
    key: Part
    heads: int
    width: int
    """Of all heads."""

    @property
    def name(self) -> str:
        """What they are called: by the layer that gives the queries."""
        return layer(self.query.site)


@dataclass(frozen=True)
class Queries:
    """A way down for the queries and keys of one attention, from the axis that matters least."""

    room: QueryRoom
    queries: Tensor
    """What queries are multiplied by, the axes in falling order, [h, d, d]."""
    keys: Tensor
    """And keys."""
    losses: Tensor
    """What each removal adds to the squared error of the scores, head by head."""

    @property
    def site(self) -> Node:
        """Where it can be tried: the linear of the queries."""
        return self.room.query.site

    def refitted(self, program: GraphModule, count: int) -> Parameters:
        """What the linear of the queries would be if both sides of M were in it."""
        left = self._left(count)
        whole = self.keys[:, :left].mT @ self.queries[:, :left]
        weight, bias = _by_head(program, self.room.query.site, whole)
        return weight.float(), bias.float()

    def narrow(self, program: GraphModule, count: int) -> None:
        """Leave queries and keys the axes that matter most, in place."""
        left = self._left(count)
        for part, turn in ((self.room.query, self.queries), (self.room.key, self.keys)):
            weight, bias = _by_head(program, part.site, turn[:, :left])
            set_weight(program, part.site, weight)
            set_bias(program, part.site, bias)
            part.reshape(self.room.heads, left)
        attention = self.room.attention
        scale = arguments(attention)[6]
        kept = (self.room.width // self.room.heads) ** -0.5 if scale is None else scale
        attention.kwargs = {**attention.kwargs, "scale": kept}

    def _left(self, count: int) -> int:
        return (self.room.width - count) // self.room.heads


def _by_head(program: GraphModule, site: Node, turn: Tensor) -> tuple[Tensor, Tensor]:
    """The parameters of a linear whose heads are each multiplied by a matrix, [h, r, d]."""
    weight, bias = weight_of(program, site), bias_of(program, site)
    rows = turn @ weight.unflatten(0, (len(turn), -1))
    return rows.flatten(0, 1), (turn @ bias.view(len(turn), -1, 1)).flatten()


def find_queries(program: GraphModule) -> list[QueryRoom]:
    """The queries and keys that can be narrowed; their linears are separated for it, in place."""
    rooms = [_room(program, heads) for heads in separate(program)]
    return [room for room in rooms if room]


def _room(program: GraphModule, heads: Heads) -> QueryRoom | None:
    if heads.query is None or heads.key is None:
        return None
    width, others = (len(weight_of(program, part.site)) for part in (heads.query, heads.key))
    return QueryRoom(heads.attention, heads.query, heads.key, heads.count, width) if width == others else None


def ways(program: GraphModule, rooms: Sequence[QueryRoom], most: Sequence[int], batches: Batches) -> list[Queries]:
    """A way down for each attention, by at most so many dimensions."""
    sums = {room.attention: _Sums() for room in rooms}
    looks = {}
    for room in rooms:
        query, key = (as_node(one) for one in room.attention.args[:2])
        looks[query], looks[key] = sums[room.attention].add_queries, sums[room.attention].add_keys
    watch(program, looks, rebatched(batches, BATCH))
    found = [axes(sums[room.attention].queries, sums[room.attention].keys) for room in rooms]
    return [
        Queries(room, to_queries, to_keys, losses[:number])
        for room, (to_queries, to_keys, losses), number in zip(rooms, found, most, strict=True)
    ]


class _Sums:
    """Second moments of queries and of keys, [h, d, d]."""

    def __init__(self) -> None:
        self.queries = self.keys = torch.zeros(())

    def add_queries(self, x: Tensor, _: int) -> None:
        """Take in queries, [B, h, N, d]."""
        check_finite(*x.aminmax())
        x = x.double()
        self.queries = self.queries + (x.mT @ x).sum(0)

    def add_keys(self, x: Tensor, _: int) -> None:
        """Take in keys, about their means over the tokens of each image."""
        check_finite(*x.aminmax())
        x = x.double() - x.double().mean(2, keepdim=True)
        self.keys = self.keys + (x.mT @ x).sum(0)


def axes(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What to multiply queries and keys by, [h, d, d], the axes in falling order; and the loss of each removal."""
    half, inverse = _roots(queries)
    left, values, _ = torch.linalg.svd(half @ _roots(keys)[0])
    even = values.clamp_min(FLOOR * float(values.max()) or 1.0).sqrt()[..., None]
    return left.mT @ inverse * even, left.mT @ half / even, values.square().flip(-1).t().flatten()


def _roots(moments: Tensor) -> tuple[Tensor, Tensor]:
    """The symmetric square root of each matrix, and its inverse."""
    values, vectors = torch.linalg.eigh(moments)
    mean = values.mean(-1, keepdim=True)
    roots = values.clamp_min(torch.where(mean > 0, FLOOR * mean, 1.0)).sqrt()[..., None, :]
    return vectors * roots @ vectors.mT, vectors / roots @ vectors.mT
