"""How float weights become codes: pure functions of a weight and of what the layer's inputs were seen to be."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from ..moments import Moments
from .bias import Bias
from .descent import Descent
from .erq import Erq
from .gptq import Gptq
from .nearest import Nearest
from .ridge import Ridge
from .rounded import Rounded
from .signs import Signs

__all__ = ["ROUNDINGS", "Rounded", "Rounding"]


class Rounding(Protocol):
    """A way to choose codes; every one keeps 8-bit neighbours from saturating (see `weights`)."""

    def apply(self, weight: Tensor, bias: Tensor, moments: Moments, bits: int) -> Rounded:
        """Codes for a weight [N, K] with a bias [N], given the moments of the layer's inputs."""


ROUNDINGS: Mapping[str, Rounding] = {
    "nearest": Nearest(),
    "bias": Bias(),
    "ridge": Ridge(),
    "erq": Erq(),
    "gptq": Gptq(),
    "descent": Descent(),
    "signs": Signs(),
}
"""From the plainest to the closest; beside the same moments, none but the first errs more than the second, anywhere."""
