"""Calibrated ranges: between which limits each quantized input is rounded, in memory that no number of images changes.

They depend on the values seen and on nothing else: not on their order or on how they were batched. A first pass notes
the extremes; for a method that may leave some values outside, a second counts all of them in histograms.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ..models.data import Batches
from .clipping import BINS, METHODS, NARROWEST, Histogram, minmax
from .observe import Look, check_finite, observe, watch
from .scheme import SCHEMES

SHARES = 1024
"""As how many values the position that matters most is counted."""

Ranges = tuple[tuple[float, ...], tuple[float, ...]]
"""Lows and highs, one of each an index."""


@dataclass
class Range:
    """The limits of a tensor's grid: the extremes of all values seen so far, until a method chooses others."""

    low: float = math.inf
    high: float = -math.inf

    def add(self, values: Tensor) -> None:
        """Widen to hold the values of one more tensor."""
        low, high = torch.aminmax(values)
        check_finite(low, high)
        self.low, self.high = min(self.low, low.item()), max(self.high, high.item())


class Whole(NamedTuple):
    """A tensor that gets one range: the bits of its codes, and how much its positions matter, [L]; none: all alike."""

    bits: int
    weights: Tensor | None = None


class Along(NamedTuple):
    """An axis whose every index gets a range of its own, as heads or channels do, and the bits of the codes."""

    axis: int
    bits: int


def calibrate(
    program: GraphModule,
    sources: Mapping[Node, Whole],
    batches: Batches,
    method: str = "minmax",
    scheme: str = "asymmetric",
) -> dict[Node, Range]:
    """The range of every tensor of `sources` over the batches."""
    seen = {node: Range() for node in sources}
    watch(program, {node: _whole(extremes.add) for node, extremes in seen.items()}, batches)
    if METHODS[method] is minmax:
        return seen
    counts = {
        node: Counts(torch.tensor([now.low]), torch.tensor([now.high]), sources[node].weights)
        for node, now in seen.items()
    }
    watch(program, {node: _whole(count.add) for node, count in counts.items()}, batches)
    return {
        node: Range(*METHODS[method](counts[node].of(0), bits, SCHEMES[scheme])) for node, (bits, _) in sources.items()
    }


def calibrate_axis(
    program: GraphModule,
    sources: Mapping[Node, Along],
    batches: Batches,
    method: str = "minmax",
    scheme: str = "asymmetric",
) -> dict[Node, Ranges]:
    """The ranges of every tensor of `sources`, one for each index of its axis."""
    seen = observe(program, {node: along.axis for node, along in sources.items()}, batches)
    if METHODS[method] is minmax:
        return {node: (tuple(now.low.tolist()), tuple(now.high.tolist())) for node, now in seen.items()}
    counts = {node: Counts(now.low, now.high) for node, now in seen.items()}
    watch(program, {node: _channels(count.add, sources[node].axis) for node, count in counts.items()}, batches)
    ranges = {}
    for node, (_, bits) in sources.items():
        histograms = (counts[node].of(channel) for channel in range(len(seen[node].low)))
        lows, highs = zip(*(METHODS[method](each, bits, SCHEMES[scheme]) for each in histograms), strict=True)
        ranges[node] = lows, highs
    return ranges


class Counts:
    """Histograms of channels between their known extremes, filled batch by batch.

    Where positions matter unequally each counts as a whole number of values, so that no order makes a difference.
    """

    def __init__(self, low: Tensor, high: Tensor, weights: Tensor | None = None) -> None:
        self.low, self.high = low.clamp_max(0), high.clamp_min(0)
        width = self.high - self.low
        self.density = torch.where(width < NARROWEST, 0, BINS / width)
        self.first = torch.arange(len(low), dtype=torch.int32) * BINS
        self.bins = torch.zeros(len(low) * BINS, dtype=torch.int64)
        self.weights = None if weights is None else (weights / weights.max() * SHARES).round().double()

    def add(self, values: Tensor) -> None:
        """Count the values of one more tensor, [..., C]; of any shape if there is but one channel."""
        places = values.sub(self.low).mul_(self.density).to(torch.int32).clamp_(0, BINS - 1).add_(self.first)
        if self.weights is None:
            self.bins += torch.bincount(places.flatten(), minlength=len(self.bins))
        else:
            each = self.weights.view(-1, 1).expand(len(self.weights), places.shape[-1])
            each = each.expand(len(places), *each.shape).flatten()
            self.bins += torch.bincount(places.flatten(), each, minlength=len(self.bins)).long()

    def of(self, channel: int) -> Histogram:
        """What was counted in a channel."""
        counts = self.bins.view(-1, BINS)[channel].numpy()
        return Histogram(self.low[channel].item(), self.high[channel].item(), counts)


def _whole(take: Callable[[Tensor], None]) -> Look:
    """Takes values as they are."""
    return lambda values, _: take(values)


def _channels(take: Callable[[Tensor], None], axis: int) -> Look:
    """Takes values with an axis moved to the end."""
    return lambda values, _: take(values.movedim(axis, -1))
