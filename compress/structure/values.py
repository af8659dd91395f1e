"""Dimensions of values: what one linear writes and another reads, with nothing between them but averages of tokens.

Averages commute with any linear map of a head's dimensions, so these are turned first, exactly, to the axes along which
the head's part of the output varies most: with P what the output reads of a head, and C the covariance of what it
reads there, the left singular vectors U of P C^1/2 give values U'P v, read by U. Then those go whose loss the others of
all heads make up for best, as neurons do (CORP, arXiv 2602.05243), the same number in every head.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ...models.data import Batches
from ..moments import Moments
from ..parameters import bias_of, set_bias, set_weight, weight_of
from .elimination import Elimination, eliminate
from .heads import Heads, Part, separate
from .hidden import observe_hidden
from .pairs import Pair
from .trials import Parameters

FLOOR = 1e-6
"""What every axis varies by at least, of the mean: so turning loses nothing where images show nothing."""


@dataclass(frozen=True)
class ValueRoom:
    """The values of one attention, and what reads them."""

    pair: Pair
    value: Part
    output: Part
    heads: int

    @property
    def name(self) -> str:
        """What the values are called: by the layer that gives them."""
        return self.pair.name

    @property
    def width(self) -> int:
        """Of all heads."""
        return self.pair.width


@dataclass(frozen=True)
class Values:
    """A way down for the values of one attention."""

    room: ValueRoom
    way: Elimination
    """Of the dimensions as they are turned."""
    turn: Tensor
    """How they are, [K, K]: head by head."""

    @property
    def site(self) -> Node:
        """Where it can be tried: the layer that reads."""
        return self.room.output.site

    @property
    def losses(self) -> Tensor:
        """What each removal is predicted to cost."""
        return self.way.losses

    def refitted(self, program: GraphModule, count: int) -> Parameters:
        """The reader's parameters when `count` dimensions give nothing any more."""
        weight, shift = self.way.refitted(count)
        return (weight @ self.turn).float(), (bias_of(program, self.site) + shift).float()

    def narrow(self, program: GraphModule, count: int) -> None:
        """Turn the dimensions and take the first `count` out, in place."""
        kept = self.way.kept(count)
        weight, shift = self.way.refitted(count)
        set_bias(program, self.site, bias_of(program, self.site) + shift)
        set_weight(program, self.site, weight[:, kept])
        writer = self.room.value.site
        was, bias = weight_of(program, writer), bias_of(program, writer)
        set_weight(program, writer, self.turn[kept] @ was)
        set_bias(program, writer, self.turn[kept] @ bias)
        self.room.value.reshape(self.room.heads, len(kept) // self.room.heads)
        self.room.output.reshape(len(kept))


def find_values(program: GraphModule) -> list[ValueRoom]:
    """The values that can be narrowed; their linears are separated for it, in place."""
    rooms = [_room(program, heads) for heads in separate(program)]
    return [room for room in rooms if room]


def _room(program: GraphModule, heads: Heads) -> ValueRoom | None:
    if heads.value is None or heads.output is None:
        return None
    outputs, width = weight_of(program, heads.output.site).shape
    if outputs < width // heads.count:
        return None
    return ValueRoom(Pair(heads.value.site, heads.output.site, width), heads.value, heads.output, heads.count)


def ways(program: GraphModule, rooms: Sequence[ValueRoom], most: Sequence[int], batches: Batches) -> list[Values]:
    """A way down for each attention, by at most so many dimensions."""
    seen = observe_hidden(program, [room.pair for room in rooms], batches)
    return [
        _way(room, known, weight_of(program, room.output.site), number)
        for room, known, number in zip(rooms, seen, most, strict=True)
    ]


def _way(room: ValueRoom, seen: Moments, weight: Tensor, most: int) -> Values:
    turn, axes = turned(seen.centred.rounded, weight, room.heads)
    known = Moments.empty(len(turn))
    whole = torch.block_diag(turn, torch.ones(1, 1, dtype=turn.dtype))
    known.rounded, known.rows = whole @ seen.rounded @ whole.t(), seen.rows
    return Values(room, eliminate(known, axes, most, room.heads), turn)


def turned(covariance: Tensor, weight: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """How to turn the dimensions of each head, [K, K], and the weight that reads them then, [N, K]."""
    width = weight.shape[1] // heads
    turns, axes = [], []
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        known = covariance[own, own]
        floor = FLOOR * float(known.diagonal().mean()) or 1.0
        lower = torch.linalg.cholesky(known + floor * torch.eye(width, dtype=known.dtype))
        left, _, _ = torch.linalg.svd(weight[:, own] @ lower, full_matrices=False)
        turns.append(left.t() @ weight[:, own])
        axes.append(left)
    return torch.block_diag(*turns), torch.cat(axes, 1)
