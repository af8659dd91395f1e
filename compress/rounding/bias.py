"""Bias correction: the mean that rounding adds to an output is taken back where it costs nothing, in the bias.

After Nagel et al., Data-Free Quantization (arXiv 1906.04721), with the mean of the images that were seen in place of
an estimate.
"""

from dataclasses import dataclass, field

from torch import Tensor

from ..moments import Moments
from ..weights import quantize_channels
from .nearest import Nearest
from .rounded import Exact, Rounded, better


@dataclass(frozen=True)
class Bias:
    """The nearest codes, with the scale that was searched or with the full range, and the best bias for them."""

    nearest: Nearest = field(default_factory=Nearest)

    def apply(self, weight: Tensor, bias: Tensor, moments: Moments, bits: int) -> Rounded:
        """What no other rounding may be worse than."""
        exact = Exact(weight, bias, moments)
        found = self.nearest.apply(weight, bias, moments, bits)
        searched = correct(found.codes, found.scale, exact)
        return better(correct(*quantize_channels(weight.float(), bits), exact), searched, exact)


def correct(codes: Tensor, scale: Tensor, exact: Exact) -> Rounded:
    """Codes and scales with the bias that makes each output's mean error zero."""
    weight = codes.double() * scale.double()[:, None]
    bias = exact.moments.centred.best_bias(weight, exact.weight, exact.bias)
    return Rounded(codes, scale, bias.float())
