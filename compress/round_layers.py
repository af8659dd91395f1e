"""Layer after layer, weights become codes, by what a layer's inputs turn out to be when all before it is rounded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.nn import functional

from .draft import Bits, Draft
from .graph import arguments, as_node, aten, find_sites, is_grouped, tensor
from .moments import Moments
from .ops import QUANTIZED
from .rounding import ROUNDINGS
from .rounding.nearest import Nearest
from .walk import ROUNDS, Walk
from .weights import quantize_channels

POSITIONS = 256
"""Places of an image that a layer's moments are summed over, at most, evenly spaced: neighbours say much the same."""


@dataclass
class Settled:
    """A site with the codes, scales and bias that were chosen for it, and its share of error on the images seen."""

    site: Node
    bits: Bits
    codes: Tensor
    """As the operator takes them: [K, N], or [O, I / groups, h, w]."""
    scale: Tensor
    bias: Tensor | None
    errors: dict[str, float] = field(default_factory=dict)
    """Squared error over squared output: with its weights rounded to the nearest, and as they are now."""

    def call(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """What the site gives now."""
        return self.operator(x, self.codes, self.scale, self.bias, *self.geometry, self.bits.weight)

    @property
    def operator(self) -> Callable[..., Tensor]:
        """The operator that it becomes."""
        return QUANTIZED[self.site.target]

    @property
    def geometry(self) -> tuple[Any, ...]:
        """Strides and the like, for a convolution."""
        return arguments(self.site)[3:]


class Rounder:
    """What happens at each layer of a walk."""

    def __init__(self, draft: Draft, walk: Walk, rounding: str) -> None:
        self.draft, self.walk, self.name, self.rounding = draft, walk, rounding, ROUNDINGS[rounding]
        self.settled: dict[Node, Settled] = {}
        self.sites = {site: bits for site in find_sites(draft.program) if (bits := draft.bits_of(site))}

    def visit(self, site: Node) -> None:
        """Choose a site's codes, if it is one that is to be rounded."""
        if (bits := self.sites.get(site)) is None:
            return
        weight, bias = (
            tensor(self.draft.program, node).float() if node is not None else None for node in arguments(site)[1:3]
        )
        assert weight is not None
        settle = self._grouped if is_grouped(site) else self._dense
        self.settled[site] = settled = settle(site, weight, bias, bits)
        self.walk.instead[site] = settled.call

    def _inputs(self, site: Node) -> Iterator[tuple[Tensor, Tensor]]:
        """What a site reads, batch by batch: rounded, and as it was just before.

        Errors of the layers before are not made up for here: to reach for the float program's outputs from inputs that
        have long become others fits the calibration images, and at 4 bits costs four points on all others.
        """
        rounded = as_node(site.args[0])
        exact = as_node(rounded.args[0]) if rounded.target in ROUNDS else rounded
        return zip(self.walk.rounded[rounded], self.walk.rounded[exact], strict=True)

    def _dense(self, site: Node, weight: Tensor, bias: Tensor | None, bits: Bits) -> Settled:
        flat = flat_weight(weight)
        moments, weights = Moments.empty(flat.shape[1]), self._weights(site)
        for pair in self._inputs(site):
            rounded, exact = (rows_of(site, x, weight) for x in pair)
            moments.add(rounded, exact, weights)
        plain = bias if bias is not None else flat.new_zeros(len(flat))
        power = float(moments.power(flat, plain).sum()) or 1.0
        nearest, chosen = (method.apply(flat, plain, moments, bits.weight) for method in (Nearest(), self.rounding))
        errors = {
            name: float(moments.error(found.weight, found.bias, flat, plain).sum()) / power
            for name, found in (("on the walk", nearest), (self.name, chosen))
        }
        return Settled(site, bits, stored(chosen.codes, weight), chosen.scale, chosen.bias, errors)

    def _weights(self, site: Node) -> Tensor | None:
        """How much each of the rows matters that a site multiplies its weight with."""
        weights = self.draft.weights.get(site)
        return None if weights is None else evenly(weights.view(1, -1, 1)).flatten()

    def _grouped(self, site: Node, weight: Tensor, bias: Tensor | None, bits: Bits) -> Settled:
        """The nearest codes, and a bias that keeps the mean of each output."""
        found = quantize_channels(flat_weight(weight), bits.weight)
        settled = Settled(site, bits, stored(found[0], weight), found[1], bias)
        pairs = [
            (settled.call(rounded), functional.conv2d(exact, weight, bias, *settled.geometry))
            for rounded, exact in self._inputs(site)
        ]
        axes = (0, 2, 3)
        missing = sum((exact - rounded).double().mean(axes) for rounded, exact in pairs) / len(pairs)
        power = sum(float(exact.double().square().sum()) for _, exact in pairs) or 1.0
        assert isinstance(missing, Tensor)
        shift = missing.float()
        settled.bias = shift if bias is None else bias + shift
        settled.errors = {
            name: sum(float((exact - rounded - moved).double().square().sum()) for rounded, exact in pairs) / power
            for name, moved in (("on the walk", 0.0), (self.name, shift.view(-1, 1, 1)))
        }
        return settled


def flat_weight(weight: Tensor) -> Tensor:
    """A weight as [N, K]; a convolution's neighbours are its input channels, which integer kernels have last."""
    return weight if weight.dim() == 2 else weight.movedim(1, -1).flatten(1)


def stored(codes: Tensor, weight: Tensor) -> Tensor:
    """Codes [N, K] of a flat weight, as the operator takes them."""
    if weight.dim() == 2:
        return codes.t().contiguous()
    return codes.view(weight.movedim(1, -1).shape).movedim(-1, 1).contiguous()


def rows_of(site: Node, x: Tensor, weight: Tensor) -> Tensor:
    """What a site multiplies its flat weight with: [images, R, K], with R at most `POSITIONS`."""
    if site.target is aten.linear.default:
        return evenly(x.flatten(1, -2) if x.dim() > 2 else x.view(-1, 1, x.shape[-1]))
    stride, padding, dilation, _ = arguments(site)[3:]
    kernel = weight.shape[2:]
    patches = functional.unfold(x, kernel, dilation, padding, stride)
    channels_last = patches.unflatten(1, (weight.shape[1], -1)).movedim(1, 2)  # [B, h * w, I, L]
    return evenly(channels_last.flatten(1, 2).movedim(1, 2))


def evenly(rows: Tensor) -> Tensor:
    """Of rows [B, L, K], those of at most `POSITIONS` evenly spaced places."""
    length = rows.shape[1]
    if length <= POSITIONS:
        return rows
    return rows[:, torch.arange(POSITIONS) * length // POSITIONS]
