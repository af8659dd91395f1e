"""Channels rescaled and shifted so that inputs and weights are both easier to round (SmoothQuant, arXiv 2211.10438).

The shift moves the middle of each channel, or its mean, to zero (MPTQ-ViT's SQ-b, arXiv 2401.14895). How much of the
spread goes from the inputs to the weights is chosen place by place, by what rounding both does to the linears' outputs;
so is whether to shift, and whether to do anything at all.

SmoothQuant measures spread by the largest value. A mean of that and of the typical value left smaller errors on images
that it was not chosen by: the largest value of a channel is often one image's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...models.data import Batches
from .. import ops
from ..draft import Bits, Draft
from ..observe import Seen
from ..parameters import weight_of
from ..weights import quantize_channels
from .affine import Place, rescale
from .labels import Labels
from .layer_norm import LIMIT
from .places import find_norms, find_values
from .seen import observe_places

ALPHAS = (0.25, 0.4, 0.6, 0.75)
"""The shares of the inputs' spread that go to the weights. With 1, values of images to come are clipped too often."""

PARTS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""What may be left of a range when few bits make it pay to clip."""


@dataclass(frozen=True)
class Smooth:
    """SmoothQuant with shift, over layer norms and attention values."""

    rows: int = 512
    """Rows of a linear's input, from all images together, by which its alpha is chosen."""

    def apply(self, draft: Draft, batches: Batches) -> None:
        """Rescale the values of attentions, then the layer norms, each by its own best alpha."""
        labels = Labels(draft.program)
        places = [*find_values(draft.program, labels), *find_norms(draft.program, labels)]
        for place, seen, bits in observe_places(draft, places, batches, self.rows):
            readers = [
                Reader(weight_of(draft.program, reader).to(seen.rows.dtype), widths)
                for reader, widths in zip(place.readers, bits, strict=True)
                if widths
            ]
            choice = choose(seen, readers, draft.scheme, shifts(place, seen))
            rescale(draft.program, place, choice.scale, choice.shift)
        draft.program.recompile()


@dataclass(frozen=True)
class Reader:
    """A linear that will be quantized."""

    weight: Tensor
    bits: Bits


@dataclass(frozen=True)
class Choice:
    """What to do to a linear's input, `(x - shift) / scale`, [K] each."""

    scale: Tensor
    shift: Tensor
    alpha: float | None = None
    """The share that led to the scale; none where the scale is one."""


def shifts(place: Place, seen: Seen) -> list[Tensor]:
    """By how much the channels of a place may be shifted."""
    none, mean, middle = torch.zeros_like(seen.low), seen.rows.mean(0), (seen.low + seen.high) / 2
    if not place.shiftable:
        return [none]
    # The extremes of an attention's output are rare events: their middle lies elsewhere on the next images.
    return [none, mean, middle] if place.writer.target is torch.ops.aten.layer_norm.default else [none, mean]


def choose(seen: Seen, readers: Sequence[Reader], scheme: str, shifts: Sequence[Tensor]) -> Choice:
    """The candidate that leaves the outputs of the readers closest to what they were, on the rows that were seen."""
    exact = [_centred(seen.rows @ reader.weight.t()) for reader in readers]
    choices = list(_candidates(seen, readers, shifts))
    errors = []
    for choice in choices:
        inputs = Seen(*((values - choice.shift) / choice.scale for values in (seen.low, seen.high, seen.rows)))
        errors.append(
            sum(
                _relative(_product(inputs, reader.weight * choice.scale, reader.bits, scheme), old)
                for reader, old in zip(readers, exact, strict=True)
            )
        )
    return choices[errors.index(min(errors))]


def _candidates(seen: Seen, readers: Sequence[Reader], shifts: Sequence[Tensor]) -> Iterator[Choice]:
    """What may be done, the least first."""
    steepness = _spread(torch.cat([reader.weight for reader in readers]))
    for shift in shifts:
        reach = _spread(torch.stack([seen.low, seen.high, *seen.rows]) - shift)
        yield Choice(torch.ones_like(shift), shift)
        for alpha in ALPHAS:
            yield Choice(smoothing(reach, steepness, alpha), shift, alpha)


def _spread(rows: Tensor) -> Tensor:
    """The geometric mean of each column's largest and typical magnitude."""
    return (rows.abs().amax(0) * rows.square().mean(0).sqrt()).sqrt()


def smoothing(reach: Tensor, steepness: Tensor, alpha: float) -> Tensor:
    """Scales `reach^alpha / steepness^(1 - alpha)` of the channels, [K], brought to a mean of one.

    The mean is geometric. Channels that are zero, or are multiplied with nothing but zeros, are left alone.
    """
    alive = (reach > 0) & (steepness > 0)
    powers = alpha * reach[alive].double().log() - (1 - alpha) * steepness[alive].double().log()
    scale = torch.ones_like(reach)
    scale[alive] = (powers - powers.mean()).exp().clamp(1 / LIMIT, LIMIT).to(scale.dtype)
    return scale


def round_rows(seen: Seen, bits: int, scheme: str) -> Tensor:
    """The rows rounded over the range of all channels; below 8 bits, over the part of it that rounds them best."""
    low, high = seen.low.min().item(), seen.high.max().item()
    parts = PARTS if bits < 8 else PARTS[:1]
    rounded: list[Tensor] = [ops.quantize(seen.rows, low * part, high * part, bits, scheme) for part in parts]
    return min(rounded, key=lambda rows: (rows - seen.rows).square().sum().item())


def _product(inputs: Seen, weight: Tensor, bits: Bits, scheme: str) -> Tensor:
    """The product of rows and weight, both rounded."""
    codes, scale = quantize_channels(weight, bits.weight)
    return _centred(round_rows(inputs, bits.activation, scheme) @ (codes * scale[:, None]).t())


def _centred(outputs: Tensor) -> Tensor:
    """Outputs without their mean, which the bias makes good."""
    return outputs - outputs.mean(0)


def _relative(rounded: Tensor, exact: Tensor) -> float:
    """The squared error as a part of the exact outputs' power."""
    power = exact.square().sum().clamp_min(torch.finfo(exact.dtype).tiny)
    return ((rounded - exact).square().sum() / power).item()
