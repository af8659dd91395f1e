"""Rounding that learns: gradients pass straight through where nothing is clipped, and scales learn as values do.

PACT, arXiv 1805.06085, and LSQ, arXiv 1902.08153. Scales are learned as logarithms: they stay above zero.

Codes of one and two bits are sums of signs, and have nothing to clip: all gradients pass, and a scale learns by its
codes alone (the learnable scales of BiViT, arXiv 2211.07091). What rounds to them is learned in steps of the scale, so
that a rate means the same in every channel.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import Node

from . import weights
from .round_layers import flat_weight, stored
from .scheme import SCHEMES, Grid

EIGHT = 8
"""Bits of codes that may saturate beside each other."""

Snap = Callable[[Tensor], Tensor]
"""Rounds values that are given in steps."""


class _StraightThrough(torch.autograd.Function):
    """Values on a grid whose scale is learned; gradients pass where nothing was clipped."""

    @staticmethod
    def forward(context: Any, x: Tensor, scale: Tensor, ends: tuple[int, int], snap: Snap) -> Tensor:
        """`x` as the grid holds it."""
        steps = x / scale
        rounded = snap(steps)
        inside = (steps >= ends[0]) & (steps <= ends[1])
        context.save_for_backward((rounded - steps * inside).to(x.dtype), inside, scale)
        return rounded.mul_(scale)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Of the values and of the scale."""
        by_scale, inside, scale = context.saved_tensors
        return gradients[0] * inside, (gradients[0] * by_scale).sum_to_size(scale.shape), None, None


class _Signs(torch.autograd.Function):
    """Sums of signs times a scale, nearest to what is given in steps; its slope is that of `steps * scale`."""

    @staticmethod
    def forward(context: Any, steps: Tensor, scale: Tensor, bits: int) -> Tensor:
        """The weight."""
        codes = weights.snap(steps, bits)
        context.save_for_backward(codes, scale)
        return codes * scale

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Of the steps and of the scale."""
        codes, scale = context.saved_tensors
        return gradients[0] * scale, (gradients[0] * codes).sum_to_size(scale.shape), None


_signs: Callable[[Tensor, Tensor, int], Tensor] = _Signs.apply
_straight_through: Callable[[Tensor, Tensor, tuple[int, int], Snap], Tensor] = _StraightThrough.apply


def learn_input(x: Tensor, scale: Tensor, grid: Grid) -> Tensor:
    """An input rounded to a grid whose scale learns."""
    lowest, highest = (end - grid.zero_point for end in (grid.lowest, grid.highest))
    return _straight_through(x, scale, (lowest, highest), lambda steps: steps.round().clamp_(lowest, highest))


def learn_weight(weight: Tensor, scale: Tensor, bits: int) -> Tensor:
    """A weight rounded to codes, which learns as its scales do; at two bits and fewer it is given in steps."""
    if bits <= weights.SIGNS:
        return _signs(weight, scale, bits)
    ends = -weights.highest(bits), weights.highest(bits)
    return _straight_through(weight, scale, ends, lambda steps: codes_of(steps, bits))


def grid_of(node: Node) -> Grid:
    """The grid that a `quantize` rounds to."""
    _, low, high, bits, scheme = cast("tuple[Node, float, float, int, str]", node.args)
    return SCHEMES[scheme].grid(low, high, bits)


def spread(scale: Tensor, weight: Tensor) -> Tensor:
    """A scale an output channel, in the shape of the weight."""
    return scale.view(-1, *[1] * (weight.dim() - 1)).clone()


def near(weight: Tensor, codes: Tensor, scale: Tensor, bits: int) -> Tensor:
    """A float weight, moved no further than is needed for it to round to the codes that were chosen for it.

    At one bit all of a sign round alike: how far from zero a weight is says how easily it may change its sign. At two
    bits and fewer it is given in steps.
    """
    chosen = as_weight(codes, weight).float()
    scales = spread(scale, weight)
    steps = weight / scales
    if bits == 1:
        return (chosen * (steps * chosen).clamp_min(0.01)).contiguous()
    if bits == weights.SIGNS:
        return steps.clamp(chosen - 0.99, chosen + 0.99).contiguous()
    return (steps.clamp(chosen - 0.49, chosen + 0.49) * scales).contiguous()


def as_weight(codes: Tensor, like: Tensor) -> Tensor:
    """Codes that an operator takes, in the shape of the float weight: a linear's are transposed."""
    return codes.t() if like.dim() == 2 else codes


def final(weight: Tensor, log_scale: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """The codes, as the operator takes them, and the scales [N] of a weight that has learned."""
    weight, scale = weight.detach(), log_scale.detach().exp()
    steps = weight if bits <= weights.SIGNS else weight / scale
    codes = flat_weight(codes_of(steps, bits)).to(torch.int8)
    return stored(codes, weight), scale.flatten()


def codes_of(steps: Tensor, bits: int) -> Tensor:
    """The codes nearest to a weight that is given in steps; of 8 bits, with no two neighbours that could saturate."""
    nearest = weights.snap(steps, bits)
    if bits != EIGHT:
        return nearest
    safe = weights.keep_pairs(flat_weight(nearest).to(torch.int8)).to(steps.dtype)
    return as_weight(stored(safe, steps), steps).contiguous()


def range_of(grid: Grid, log_scale: Tensor) -> tuple[float, float]:
    """The range that the scheme makes the same grid of, with the scale that has learned.

    A signed grid has no positive counterpart of its lowest code: its scale follows from the highest.
    """
    step = float(log_scale.detach().exp())
    lowest = -grid.highest if grid.lowest < 0 else grid.lowest - grid.zero_point
    return step * lowest, step * (grid.highest - grid.zero_point)
