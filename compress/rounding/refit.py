"""The best scale and bias for codes that are settled: two numbers an output, by least squares."""

import torch
from torch import Tensor

from .bias import correct
from .rounded import Exact, Rounded

FARTHEST = 16.0
"""A scale changes by this factor at most: a bias is added in steps of it, and must fit 32 bits."""


def refit(codes: Tensor, scale: Tensor, exact: Exact) -> Rounded:
    """Codes with the scale, near the one given, and the bias that make each output's squared error least."""
    about, steps = exact.moments.centred, codes.double()
    slope = (exact.slope(steps * scale.double()[:, None]) * steps).sum(1)
    curve = (steps @ about.rounded * steps).sum(1)
    best = scale - torch.where(curve > 0, slope / curve.clamp_min(torch.finfo(curve.dtype).tiny), 0)
    near = torch.minimum(torch.maximum(best.float(), scale / FARTHEST), scale * FARTHEST)
    return correct(codes, near, exact)
