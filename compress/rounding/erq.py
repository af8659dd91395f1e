"""ERQ: error reduction for inputs and weights, in closed forms (Zhong et al., ICML 2024, arXiv 2407.06794).

First the ridge solution for the rounded inputs (Aqer). Then, half of the remaining columns at a time (Wqer): round
them, turn single roundings while that lowers their part of the output error, and let the columns still in float make up
for the rest. In place of mean and covariance of the inputs stand their moments about the mean, as the bias is free.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..moments import Moments, root
from ..weights import highest, keep_pairs, pitch, snap
from .bias import Bias
from .nearest import Nearest
from .refit import refit
from .ridge import PRIOR, fit
from .rounded import Exact, Rounded, better


@dataclass(frozen=True)
class Erq:
    """Knobs of ERQ."""

    prior: float = PRIOR
    """Imagined rows that hold the weights back, see `ridge`."""
    flips: int = 100
    """Roundings of a row that may be turned round, in each half."""

    def apply(self, weight: Tensor, bias: Tensor, moments: Moments, bits: int) -> Rounded:
        """Where it errs less than the corrected nearest codes; else those."""
        exact, inputs = Exact(weight, bias, moments), moments.centred.rounded
        lower, hessian = root(moments.centred, self.prior)
        target = fit(exact, lower)
        scale = Nearest().codes(target, bits, inputs.diagonal())[1]
        codes = round_by_halves(target / scale[:, None], hessian, bits, self.flips)
        found = refit(keep_pairs(codes) if bits == 8 else codes, scale, exact)
        return better(Bias().apply(weight, bias, moments, bits), found, exact)


def round_by_halves(steps: Tensor, hessian: Tensor, bits: int, flips: int) -> Tensor:
    """Codes [N, K] for weights that are given in steps of their scales."""
    wanted, codes = steps.double().clone(), torch.zeros_like(steps, dtype=torch.float64)
    start, width = 0, steps.shape[1]
    while start < width:
        stop = start + (width - start + 1) // 2
        done = slice(start, stop)
        codes[:, done] = refine(wanted[:, done], hessian[done, done], bits, flips)
        if stop < width:
            off = wanted[:, done] - codes[:, done]
            pull = hessian[stop:, done] @ off.t()
            wanted[:, stop:] += torch.cholesky_solve(pull, torch.linalg.cholesky(hessian[stop:, stop:])).t()
        start = stop
    return codes.to(torch.int8)


def refine(wanted: Tensor, hessian: Tensor, bits: int, flips: int) -> Tensor:
    """Nearest codes, some rounded the other way: in each row and turn the one whose slope is steepest.

    A row stops when a turn would raise its error.
    """
    codes = snap(wanted, bits)
    off = wanted - codes
    slope = off @ hessian
    rows = torch.arange(len(wanted))
    for _ in range(flips):
        step = pitch(bits) * torch.where(off < 0, -1.0, 1.0)
        if bits == 1:
            step = -2 * codes
        legal = (slope * step > 0) & ((codes + step).abs() <= highest(bits))
        steepest = torch.where(legal, slope.abs(), 0).argmax(1)
        turn = step[rows, steepest]
        gain = 2 * turn * slope[rows, steepest] - turn.square() * hessian.diagonal()[steepest]
        turn = torch.where(legal[rows, steepest] & (gain > 0), turn, 0)
        if not turn.any():
            break
        codes[rows, steepest] += turn
        off[rows, steepest] -= turn
        slope -= turn[:, None] * hessian[steepest]
    return codes
