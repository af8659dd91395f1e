"""Calibrated ranges: what each quantized input was seen to hold, in memory that does not grow with the images.

The extremes depend on the values seen and on nothing else: not on their order or on how they were batched. At 8 bits
the full range measures better on transformers than any clipped one: the rare large values are the ones that matter.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UserError


@dataclass
class Range:
    """The extremes of all values seen so far."""

    low: float = math.inf
    high: float = -math.inf

    def add(self, values: Tensor) -> None:
        """Widen to hold the values of one more tensor."""
        low, high = (extreme.item() for extreme in torch.aminmax(values))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise UserError("calibration met values that are not finite; check the weights and the calibration images")
        self.low, self.high = min(self.low, low), max(self.high, high)
