"""GPTQ: column after column is rounded, and the columns to come make up for its error (arXiv 2210.17323).

What is rounded is the ridge solution, so that the error of the inputs is made up for as well; the bias is free
throughout. With H = R R', R upper triangular, the best value of column k beside errors e of those before it is
`w_k + sum e_j R_jk / R_kk`: Babai's nearest plane, which gives GPTQ's codes without an inverse (arXiv 2507.18553).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..moments import Moments, root
from ..weights import neighbours, snap
from .bias import Bias
from .nearest import Nearest
from .refit import refit
from .ridge import PRIOR, fit
from .rounded import Exact, Rounded, better

BLOCK = 64
"""Columns that are settled before the rest hears of them: they stay in the cache."""


@dataclass(frozen=True)
class Gptq:
    """Knobs of GPTQ."""

    prior: float = PRIOR
    """Imagined rows that hold the weights back, see `ridge`."""
    shrinks: tuple[float, ...] = (1.1, 1.0, 0.9, 0.8)
    """Grids that are tried below 8 bits, of the one that is best for the nearest codes."""
    ordered: bool = True
    """Largest inputs first, while there are many columns left to make up for them."""

    def apply(self, weight: Tensor, bias: Tensor, moments: Moments, bits: int) -> Rounded:
        """Each output with the grid that serves it best; never worse than the corrected nearest codes."""
        exact, inputs = Exact(weight, bias, moments), moments.centred.rounded
        lower, hessian = root(moments.centred, self.prior)
        target = fit(exact, lower)
        order = torch.argsort(inputs.diagonal(), descending=True, stable=True) if self.ordered else None
        scale = Nearest().codes(target, bits, inputs.diagonal())[1]
        best = Bias().apply(weight, bias, moments, bits)
        for shrink in self.shrinks if bits < 8 else (1.0,):
            codes = nearest_plane(target / (scale * shrink)[:, None], hessian, bits, order)
            best = better(best, refit(codes, scale * shrink, exact), exact)
        return best


def nearest_plane(steps: Tensor, hessian: Tensor, bits: int, order: Tensor | None = None) -> Tensor:
    """Codes [N, K] for weights that are given in steps of their scales, settled in the order of the columns given."""
    width = steps.shape[1]
    order = torch.arange(width) if order is None else order
    ratios = _upper_root(hessian[order][:, order])
    ratios = ratios / ratios.diagonal()
    given = steps.double().t()[order]
    wanted, off, codes = given.clone(), torch.zeros_like(given), torch.zeros_like(given)
    pairs, columns = neighbours(width), order.tolist()
    for start in range(0, width, BLOCK):
        stop = min(start + BLOCK, width)
        for place in range(start, stop):
            column = columns[place]
            other = pairs[column]
            codes[column] = snap(wanted[place], bits, None if other is None else codes[other])
            off[place] = given[place] - codes[column]
            wanted[place + 1 : stop] += torch.outer(ratios[place, place + 1 : stop], off[place])
        wanted[stop:] += ratios[start:stop, stop:].t() @ off[start:stop]
    return codes.t().to(torch.int8).contiguous()


def _upper_root(hessian: Tensor) -> Tensor:
    """R, upper triangular, with R R' the matrix."""
    lower: Tensor = torch.linalg.cholesky(hessian.flip(0, 1))
    return lower.flip(0, 1)
