"""Coordinate descent: code after code moves to where it is best beside all others, until none wants to.

As QuantEase does (arXiv 2309.01885), from where GPTQ ends. A move never raises the error, and unlike GPTQ's, the first
columns get to hear of the last ones. Scales are fitted anew after each round.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..moments import Moments, root
from ..weights import neighbours, snap
from .gptq import BLOCK, Gptq
from .refit import refit
from .ridge import fit
from .rounded import Exact, Rounded, better


@dataclass(frozen=True)
class Descent:
    """Knobs of the descent."""

    start: Gptq = field(default_factory=Gptq)
    rounds: int = 2
    """Of sweeps, with scales fitted in between."""
    sweeps: int = 2

    def apply(self, weight: Tensor, bias: Tensor, moments: Moments, bits: int) -> Rounded:
        """Never worse than what it starts from."""
        exact = Exact(weight, bias, moments)
        best = self.start.apply(weight, bias, moments, bits)
        lower, hessian = root(moments.centred, self.start.prior)
        target, now = fit(exact, lower), best
        for _ in range(self.rounds):
            codes = descend(now.codes, target / now.scale[:, None], hessian, bits, self.sweeps)
            now = refit(codes, now.scale, exact)
            best = better(best, now, exact)
        return best


def descend(codes: Tensor, steps: Tensor, hessian: Tensor, bits: int, sweeps: int) -> Tensor:
    """Codes [N, K] whose error against `steps`, weighed by `hessian`, is the same or smaller."""
    width, pairs = codes.shape[1], neighbours(codes.shape[1])
    now = codes.double().t().contiguous()
    slope = hessian @ (now - steps.double().t())
    curve = hessian.diagonal().tolist()
    for _ in range(sweeps):
        before = now.clone()
        for start in range(0, width, BLOCK):
            stop = min(start + BLOCK, width)
            local = slope[start:stop].clone()
            for column in range(start, stop):
                other = pairs[column]
                wanted = now[column] - local[column - start] / curve[column]
                code = snap(wanted, bits, None if other is None else now[other])
                local += torch.outer(hessian[start:stop, column], code - now[column])
                now[column] = code
            slope += hessian[:, start:stop] @ (now - before)[start:stop]
        if torch.equal(now, before):
            break
    return now.t().to(torch.int8).contiguous()
