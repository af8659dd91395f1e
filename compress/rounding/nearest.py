"""Round to the nearest code, on a grid that gives up a channel's rarest weights where that pays."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..moments import Moments
from ..weights import quantize_channels, snap
from .rounded import Rounded

SHRINKS = tuple(1 - step / 50 for step in range(41))
"""What a grid's reach is tried to be, of the largest weight: all of it down to a fifth."""


@dataclass(frozen=True)
class Nearest:
    """Nearest codes. At 8 bits and at one the grid is given; in between the best of `shrinks` is taken, by channel."""

    shrinks: tuple[float, ...] = SHRINKS

    def apply(self, weight: Tensor, bias: Tensor, moments: Moments, bits: int) -> Rounded:
        """The codes, with the bias as it was."""
        codes, scale = self.codes(weight, bits, moments.centred.rounded.diagonal())
        return Rounded(codes, scale, bias.float())

    def codes(self, weight: Tensor, bits: int, importance: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Codes [N, K] and scales [N]; squared errors count by `importance` [K] in the search, if it is given."""
        weight = weight.float()
        codes, widest = quantize_channels(weight, bits)
        if bits in (1, 8):
            return codes, widest
        importance = torch.ones(weight.shape[1]) if importance is None else importance.float().clamp_min(0)
        scale = best_scale(weight, bits, importance, [widest * shrink for shrink in self.shrinks])
        return snap(weight / scale[:, None], bits).to(torch.int8), scale


def best_scale(weight: Tensor, bits: int, importance: Tensor, tried: list[Tensor]) -> Tensor:
    """For each row the scale, of those tried, whose nearest codes err least; the first of equals."""
    errors = []
    for scale in tried:
        off = snap(weight / scale[:, None], bits).mul_(scale[:, None]).sub_(weight)
        errors.append(off.square_() @ importance)
    chosen = torch.stack(errors).min(0).indices
    return torch.stack(tried).gather(0, chosen[None])[0]
