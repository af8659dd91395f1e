"""Layer norms whose channels all have one range, so that one scale rounds them all alike (RepQuant, arXiv 2402.05628).

Each channel's own scale s and zero point z become the same for all, s' = mean(s) and z' = mean(z), by folding
r = s / s' and the shift between the two grids into the layer norm; the linears that read it undo both.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...models.data import Batches
from ..draft import Draft
from ..scheme import SCHEMES, Scheme
from .affine import rescale
from .labels import Labels
from .places import find_norms
from .seen import observe_places

LIMIT = 2.0**6
"""No channel is scaled by more than this either way: images to come may stray from a range that looked narrow."""


@dataclass(frozen=True)
class Reparameterize:
    """RepQuant's scale reparameterization; there is nothing to choose."""

    def apply(self, draft: Draft, batches: Batches) -> None:
        """Rescale every layer norm that only linears read, one of them quantized."""
        places = [place for place in find_norms(draft.program, Labels(draft.program)) if place.shiftable]
        for place, seen, bits in observe_places(draft, places, batches):
            widest = max(each.activation for each in bits if each)
            rescale(draft.program, place, *common_grid(seen.low, seen.high, widest, SCHEMES[draft.scheme]))
        draft.program.recompile()


def common_grid(low: Tensor, high: Tensor, bits: int, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Scales and shifts, [C] each, that give channels with these extremes one grid, its zero point an integer.

    The middle of every channel goes to the middle of the grid. Channels that never change are only shifted.
    """
    low, high = low.double(), high.double()
    steps = 2**bits - 1
    own = (high - low) / steps
    alive = own > 0
    if not alive.any():
        return torch.ones_like(low), torch.zeros_like(low)
    common = own[alive].mean()
    scale = torch.where(alive, own / common, 1.0).clamp(1 / LIMIT, LIMIT)
    zero_point = steps / 2 if scheme.symmetric else (-low[alive] / own[alive]).mean().round().clamp(0, steps)
    return scale, (low + high) / 2 - scale * common * (steps / 2 - zero_point)
