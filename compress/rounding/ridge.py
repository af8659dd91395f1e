"""Ridge compensation: weights move to make up for what rounding the *inputs* does to a layer's outputs.

The first half of ERQ, its Aqer (Zhong et al., ICML 2024, arXiv 2407.06794): a closed form in the second moments. The
bias is not held back. What weights pay for moving is a number of imagined rows, so it weighs less the more are seen.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..moments import Moments, root
from ..weights import quantize_channels
from .bias import Bias
from .nearest import Nearest
from .refit import refit
from .rounded import Exact, Rounded, better

PRIOR = 1500.0
"""Imagined rows, of inputs as large as those seen but unrelated.

On DeiT-Tiny's layers the outputs of other images err least with about that many, be there 16 images or 64 to go by.
"""


@dataclass(frozen=True)
class Ridge:
    """Weights that fit the rounded inputs, then the nearest codes."""

    prior: float = PRIOR
    """Imagined rows that hold the weights back."""

    def apply(self, weight: Tensor, bias: Tensor, moments: Moments, bits: int) -> Rounded:
        """Where the moved weights err less, theirs; else the corrected nearest ones."""
        exact = Exact(weight, bias, moments)
        target = fit(exact, root(moments.centred, self.prior)[0])
        best = Bias().apply(weight, bias, moments, bits)
        for codes, scale in (
            quantize_channels(target.float(), bits),
            Nearest().codes(target, bits, moments.centred.rounded.diagonal()),
        ):
            best = better(best, refit(codes, scale, exact), exact)
        return best


def fit(exact: Exact, lower: Tensor) -> Tensor:
    """The float weight [N, K] that is best on rounded inputs; `lower` is the root of A'A and of what moving costs."""
    return exact.weight.double() - torch.cholesky_solve(exact.pull.t(), lower).t()
