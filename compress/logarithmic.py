"""Logarithmic grids for softmax outputs and shifted GELU: to simulate and compare, for no target can express them.

Code k stands for `scale * 2 ** (-k * step / parts) - shift`, and the last code for the zero before the shift, so that a
grid of b bits has 2 ** b values; the papers' programs count the zero on top of these. Two kinds are known:

- `sqrt2`, the log-sqrt(2) quantizer of RepQ-ViT (arXiv 2212.08254): every step is half an octave;
- `adaptive`, AdaLog (arXiv 2407.12951): the step is searched, in 37ths of an octave, and the 37 powers inside an octave
  come from a table of integers, as the kernels that it is meant for would have them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.fx import GraphModule

GELU_SHIFT = 0.16997
"""What GELU never falls below, negated: added, nothing is negative."""
STEPS = (10, 138)
"""The least and the greatest step that AdaLog searches."""
PERCENTILES = (0.999, 0.9999, 0.99999)
"""The shares of values that RepQ tries to keep below the scale."""
LEAST_PERCENTILE = 0.9
"""The least that AdaLog tries; the greatest is everything."""
BEAM = 16
"""How many candidates AdaLog's progressive search keeps."""
REFINEMENTS = 6
"""How often it looks around them, each time at half the distance."""

PLACES = 1024
"""Into how many parts it divides the percentiles."""
TINIEST = 2.0**-100
"""The scale where all values are zeros."""

Loss = Callable[[Tensor], Tensor]
"""What is to be small, from the rounded values."""


@dataclass(frozen=True)
class Kind:
    """Into how many parts an octave is divided, and whether the powers between are rounded to integers."""

    parts: int
    rounded: bool

    def powers(self, bits: int) -> Tensor:
        """2 ** (-j / parts) for each part j."""
        exact = torch.exp2(-torch.arange(self.parts, dtype=torch.float64) / self.parts)
        whole = 2 ** (bits + 1) - 2
        return torch.round(exact * whole) / whole if self.rounded else exact


KINDS = {"sqrt2": Kind(2, rounded=False), "adaptive": Kind(37, rounded=True)}


@dataclass(frozen=True)
class LogGrid:
    """A grid whose steps are ratios."""

    kind: str
    step: int
    """From one code to the next, in parts of an octave."""
    scale: float
    """What code 0 stands for, before the shift."""
    shift: float
    bits: int

    def levels(self) -> Tensor:
        """What every code stands for, falling."""
        exponents = torch.arange(2**self.bits - 1) * self.step
        kind = KINDS[self.kind]
        powers = kind.powers(self.bits)[exponents % kind.parts] * torch.exp2(-(exponents // kind.parts).double())
        return (torch.cat([powers * self.scale, powers.new_zeros(1)]) - self.shift).float()

    def round(self, x: Tensor) -> Tensor:
        """`x` with every value replaced by that of the code nearest in ratio."""
        octaves = -torch.log2((x + self.shift).clamp_min(0) / self.scale)
        codes = torch.round(octaves * (KINDS[self.kind].parts / self.step)).clamp_(0, 2**self.bits - 1)
        return self.levels().to(x.dtype)[codes.long()]


@torch.library.custom_op("vitc::quantize_log", mutates_args=())
def quantize_log(  # noqa: PLR0913 (an operator's parameters are its schema)
    x: Tensor, kind: str, step: int, scale: float, shift: float, bits: int
) -> Tensor:
    """`x` on a logarithmic grid, inside a program."""
    return LogGrid(kind, step, scale, shift, bits).round(x)


@quantize_log.register_fake
def _(x: Tensor, *_grid: object) -> Tensor:
    return torch.empty_like(x)


LOGARITHM = torch.ops.vitc.quantize_log.default


def unexportable(program: GraphModule) -> list[str]:
    """The tensors of a program that no target can round as it does, by the names of their nodes."""
    rounded = program.graph.find_nodes(op="call_function", target=LOGARITHM)
    return [str(node.args[0]) for node in rounded]


def squared_error(values: Tensor) -> Loss:
    """How far rounded values are from these, on average."""
    return lambda rounded: (rounded - values).square().mean()


def sqrt2(values: Tensor, bits: int, shift: float = 0.0, loss: Loss | None = None) -> LogGrid:
    """RepQ's grid for sample values: of three scales the one with the least loss, squared error if none is given."""
    error, ordered = loss or squared_error(values), _ordered(values, shift)
    grids = [LogGrid("sqrt2", 1, _quantile(ordered, share), shift, bits) for share in PERCENTILES]
    return min(grids, key=lambda grid: error(grid.round(values)).item())


def adaptive(values: Tensor, bits: int, shift: float = 0.0, loss: Loss | None = None) -> LogGrid:
    """AdaLog's grid for sample values: step and scale searched together, coarsely, then ever closer around the best."""
    error, ordered = loss or squared_error(values), _ordered(values, shift)

    def grid(step: int, place: int) -> LogGrid:
        share = LEAST_PERCENTILE + (1 - LEAST_PERCENTILE) * place / PLACES
        return LogGrid("adaptive", step, _quantile(ordered, share), shift, bits)

    losses: dict[tuple[int, int], float] = {}
    wanted = set(product(range(STEPS[0], STEPS[1] + 1, 8), range(0, PLACES + 1, PLACES // 8)))
    for halvings in range(1, REFINEMENTS + 2):
        for found in sorted(wanted - losses.keys()):
            losses[found] = error(grid(*found).round(values)).item()
        best = sorted(losses, key=lambda candidate: (losses[candidate], candidate))[:BEAM]
        wanted = {near for candidate in best for near in _near(*candidate, halvings)}
    return grid(*best[0])


def _near(step: int, place: int, halvings: int) -> Iterator[tuple[int, int]]:
    """What lies around a candidate, at a distance that was halved so often; at least 1."""
    for off_step, off_place in product((-1, 0, 1), repeat=2):
        there = step + off_step * max(8 >> halvings, 1), place + off_place * (PLACES // 8 >> halvings)
        if STEPS[0] <= there[0] <= STEPS[1] and 0 <= there[1] <= PLACES:
            yield there


def _ordered(values: Tensor, shift: float) -> Tensor:
    """The values after the shift, ascending."""
    return (values.flatten() + shift).sort().values


def _quantile(ordered: Tensor, share: float) -> float:
    """The value below which a share of them lies; always positive."""
    return max(ordered[round(share * (len(ordered) - 1))].item(), TINIEST)


SEARCHES: Mapping[str, Callable[[Tensor, int], LogGrid]] = {"sqrt2": sqrt2, "adaptive": adaptive}
"""By the names of the kinds."""
