"""What rounding costs each layer, as a share of what it gives: measured between the steps, to tell which one helped."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor
from torch.fx import Node

from ..models.data import Batches, first
from . import ops
from .draft import Bits, Draft
from .graph import as_node, find_sites, layer, tensor
from .observe import Look, check_finite, watch
from .round_layers import Settled, flat_weight, stored
from .weights import quantize_channels

IMAGES = 8
"""How many are looked at between the steps."""


@dataclass(frozen=True)
class LayerLoss:
    """One layer, its widths, and its squared error over its squared output at each point of the way, in order.

    Each is the layer's own: of what it gives for its input rounded, beside what it gives for the input as it was just
    before. The points before the walk round the float program's inputs between their extremes, those of the walk the
    inputs that the layers before, rounded by then, have led to.
    """

    name: str
    bits: Bits
    errors: dict[str, float] = field(default_factory=dict)


class Losses:
    """The losses of a draft's layers."""

    def __init__(self) -> None:
        self.layers: dict[str, LayerLoss] = {}
        self.notes: list[str] = []
        """What the steps said."""

    def note(self, name: str, bits: Bits, point: str, error: float) -> None:
        """Note a layer's error at a point."""
        self.layers.setdefault(name, LayerLoss(name, bits)).errors[point] = error

    def walked(self, settled: Settled) -> None:
        """Note what a walk found."""
        for point, error in settled.errors.items():
            self.note(layer(settled.site), settled.bits, point, error)

    def to_json(self) -> list[dict[str, Any]]:
        """One row a layer, as a record has them."""
        return [
            {
                "name": one.name,
                "weight_bits": one.bits.weight,
                "activation_bits": one.bits.activation,
                "loss": one.errors,
            }
            for one in self.layers.values()
        ]

    def measure(self, draft: Draft, batches: Batches, point: str) -> None:
        """Round every layer for itself, plainly, and note what it costs."""
        looks: dict[Node, list[_Alone]] = {}
        for site in find_sites(draft.program):
            if bits := draft.bits_of(site):
                looks.setdefault(as_node(site.args[0]), []).append(_Alone(draft, site, bits))
        watch(draft.program, {source: _each(those) for source, those in looks.items()}, first(batches, IMAGES))
        for alone in (one for those in looks.values() for one in those):
            self.note(layer(alone.site), alone.bits, point, alone.error / (alone.power or 1.0))


class _Alone:
    """A layer that is rounded while all else is exact."""

    def __init__(self, draft: Draft, site: Node, bits: Bits) -> None:
        self.site, self.bits, self.scheme = site, bits, draft.scheme
        self.operator = cast("Callable[..., Tensor]", site.target)
        self.weight = tensor(draft.program, as_node(site.args[1])).float()
        codes, scale = quantize_channels(flat_weight(self.weight), bits.weight)
        self.rounded = Settled(site, bits, stored(codes, self.weight), scale, None)
        self.error = self.power = 0.0

    def look(self, x: Tensor) -> None:
        """Take in one batch of the layer's input."""
        low, high = x.aminmax()
        check_finite(low, high)
        rounded = ops.quantize(x, float(low), float(high), self.bits.activation, self.scheme)
        wanted = self.operator(x, self.weight, None, *self.rounded.geometry)
        self.error += float((self.rounded.call(rounded) - wanted).square().sum())
        self.power += float(wanted.square().sum())


def _each(those: list[_Alone]) -> Look:
    def look(x: Tensor, _: int) -> None:
        for alone in those:
            alone.look(x)

    return look
