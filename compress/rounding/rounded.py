"""What rounding a weight gives, and the better of two roundings, row by row."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..moments import Moments


@dataclass(frozen=True)
class Exact:
    """What is rounded: a layer in float."""

    weight: Tensor
    """[N, K]."""
    bias: Tensor
    """[N]."""
    moments: Moments
    """Of its inputs."""

    @cached_property
    def pull(self) -> Tensor:
        """What rounded inputs make of the slope where the weight has not moved: [N, K] in doubles."""
        return self.weight.double() @ self.moments.centred.shift.t()

    @cached_property
    def unmoved(self) -> Tensor:
        """Squared error of each output with the exact weight and the best bias for it."""
        return self.moments.centred.error(self.weight, self.weight)

    def slope(self, weight: Tensor) -> Tensor:
        """Half the slope of the squared errors along each weight, [N, K] in doubles."""
        return (weight.double() - self.weight) @ self.moments.centred.rounded + self.pull

    def error(self, rounded: "Rounded") -> Tensor:
        """Squared error of each output, summed over rows: as `Moments.error`, at a third of the work when repeated."""
        weight = rounded.weight
        off = rounded.bias.double() - self.moments.centred.best_bias(weight, self.weight, self.bias)
        squares = ((self.slope(weight) + self.pull) * (weight - self.weight)).sum(1) + self.unmoved
        return squares.clamp_min(0) + self.moments.rows * off.square()


@dataclass(frozen=True)
class Rounded:
    """A layer in codes."""

    codes: Tensor
    """int8 [N, K]."""
    scale: Tensor
    """float32 [N]."""
    bias: Tensor
    """float32 [N]."""

    @property
    def weight(self) -> Tensor:
        """What the codes stand for, in doubles."""
        return self.codes.double() * self.scale.double()[:, None]


def better(first: Rounded, second: Rounded, exact: Exact) -> Rounded:
    """Each output from whichever has the smaller squared error there; from the first where they are equal."""
    wins = exact.error(second) < exact.error(first)
    return Rounded(
        torch.where(wins[:, None], second.codes, first.codes),
        torch.where(wins, second.scale, first.scale),
        torch.where(wins, second.bias, first.bias),
    )
