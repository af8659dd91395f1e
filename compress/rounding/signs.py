"""Signs and scales by turns, from several scales: what so few codes are worth depends on where the search begins.

The alternation of XNOR-Net (arXiv 1603.05279) and its kin, with errors weighed by the second moments of the inputs:
codes move one by one to where they are best beside all others, then the scale is fitted to them, and again. Each start
is what GPTQ finds on a grid of another size; each output keeps the best that it was led to. The plain way, signs and
mean magnitudes, is `nearest`.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..moments import Moments, root
from .bias import Bias
from .descent import descend
from .gptq import Gptq, nearest_plane
from .nearest import Nearest
from .refit import refit
from .ridge import fit
from .rounded import Exact, Rounded, better


@dataclass(frozen=True)
class Signs:
    """Knobs of the search."""

    gptq: Gptq = field(default_factory=Gptq)
    shrinks: tuple[float, ...] = (1.3, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6)
    """Scales to begin with, of the one that is best for the nearest codes."""
    rounds: int = 4
    """Of sweeps, with scales fitted after each."""
    sweeps: int = 2

    def apply(self, weight: Tensor, bias: Tensor, moments: Moments, bits: int) -> Rounded:
        """Never worse than the corrected nearest codes."""
        exact, inputs = Exact(weight, bias, moments), moments.centred.rounded.diagonal()
        lower, hessian = root(moments.centred, self.gptq.prior)
        target = fit(exact, lower)
        order = torch.argsort(inputs, descending=True, stable=True) if self.gptq.ordered else None
        scale = Nearest().codes(target, bits, inputs)[1]
        best = Bias().apply(weight, bias, moments, bits)
        for shrink in self.shrinks:
            begun = scale * shrink
            now = refit(nearest_plane(target / begun[:, None], hessian, bits, order), begun, exact)
            best = better(best, now, exact)
            for _ in range(self.rounds):
                codes = descend(now.codes, target / now.scale[:, None], hessian, bits, self.sweeps)
                if torch.equal(codes, now.codes):
                    break
                now = refit(codes, now.scale, exact)
                best = better(best, now, exact)
        return best
