"""What compensation knows of a layer: second moments of its exact and of its rounded input, whatever the images.

With A the rounded inputs and B the exact ones, both with a column of ones for the bias, everything that ridge
regression, GPTQ and bias correction ask for follows from A'A, A'D and D'D, where D = A - B is what rounding added.
They take the memory of the layer's width, however many images they were summed over. D is kept rather than B because
errors are small beside outputs: as differences of A'A, A'B and B'B they would drown in round-off.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

FLOOR = 0.01
"""What an input that is always the same has in imagined rows, of the mean variance."""


@dataclass(frozen=True)
class Centred:
    """Moments about the means, [K, K] each: what is left of them when every bias is the best one."""

    rounded: Tensor
    """A'A."""
    shift: Tensor
    """A'D."""
    noise: Tensor
    """D'D."""
    mean: Tensor
    """Of the rounded inputs, [K]."""
    drift: Tensor
    """Of D, [K]."""
    rows: float

    def error(self, weight: Tensor, was: Tensor) -> Tensor:
        """Squared error of each output, summed over rows, with the best bias: `A weight'` against `B was'`."""
        was = was.double()
        moved = weight.double() - was
        squares = (moved @ self.rounded * moved).sum(1) + 2 * (moved @ self.shift * was).sum(1)
        return (squares + (was @ self.noise * was).sum(1)).clamp_min(0)

    def best_bias(self, weight: Tensor, was: Tensor, was_bias: Tensor) -> Tensor:
        """The bias that makes the mean error of each output zero, in doubles."""
        was = was.double()
        return was_bias.double() - (weight.double() - was) @ self.mean - was @ self.drift


@dataclass
class Moments:
    """Sums over rows, in double precision: [K + 1, K + 1] each, the last row and column belonging to the ones."""

    rounded: Tensor
    """A'A: the inputs as the quantized program sees them."""
    shift: Tensor
    """A'D: those against what rounding added to them."""
    noise: Tensor
    """D'D."""
    rows: float = 0.0

    @classmethod
    def empty(cls, width: int) -> "Moments":
        """Of a layer with `width` inputs, before any row."""
        rounded, shift, noise = torch.zeros(3, width + 1, width + 1, dtype=torch.float64)
        return cls(rounded, shift, noise)

    def add(self, rounded: Tensor, exact: Tensor | None = None, weights: Tensor | None = None) -> None:
        """Take in rows [..., L, K] of both, or of one where nothing was rounded; as often as `weights`, [L], say."""
        a = rounded.flatten(0, -2)
        often = a.new_ones(rounded.shape[-2]) if weights is None else weights.to(a.dtype)
        root = often.sqrt().expand(rounded.shape[:-1]).reshape(-1, 1)
        ones = torch.nn.functional.pad(a, (0, 1), value=1.0) * root
        self.rounded += ones.t() @ ones
        if exact is not None:
            added = torch.nn.functional.pad(a - exact.flatten(0, -2), (0, 1)) * root
            self.shift += ones.t() @ added
            self.noise += added.t() @ added
        self.rows += root.square().sum().item()
        vars(self).pop("centred", None)

    @cached_property
    def centred(self) -> Centred:
        """The same about the means; made once, until more rows are taken in."""
        rows = max(self.rows, 1)
        mean, drift = self.rounded[-1, :-1] / rows, self.shift[-1, :-1] / rows
        return Centred(
            self.rounded[:-1, :-1] - rows * torch.outer(mean, mean),
            self.shift[:-1, :-1] - rows * torch.outer(mean, drift),
            self.noise[:-1, :-1] - rows * torch.outer(drift, drift),
            mean,
            drift,
            self.rows,
        )

    def error(self, weight: Tensor, bias: Tensor, was: Tensor, was_bias: Tensor) -> Tensor:
        """Squared error of each output, summed over rows: `A [weight, bias]'` against `B [was, was_bias]'`."""
        off = bias.double() - self.centred.best_bias(weight, was, was_bias)
        return self.centred.error(weight, was) + self.rows * off.square()

    def power(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Squared exact outputs, summed over rows."""
        was = torch.cat([weight, bias[:, None]], 1).double()
        exact = self.rounded - self.shift - self.shift.t() + self.noise
        return (was @ exact * was).sum(1).clamp_min(0)


def root(about: Centred, prior: float) -> tuple[Tensor, Tensor]:
    """(L, H): H is A'A with the imagined rows of `prior` added, and L L' = H.

    At most as many are imagined as were seen. But moments of a few images, or of inputs that repeat each other, may
    have no inverse: then more is added until H has one.
    """
    own = about.rounded.diagonal().clamp_min(0)
    mean = float(own.mean())
    spread = own + (FLOOR * mean if mean > 0 else 1.0)
    damping = min(prior / max(about.rows, 1), 1.0)
    while True:
        hessian = about.rounded + torch.diag(damping * spread)
        lower, failed = torch.linalg.cholesky_ex(hessian)
        if not failed:
            return lower, hessian
        damping = max(10 * damping, 1e-8)
