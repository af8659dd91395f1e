"""Neurons go from the perceptrons of a trained backbone, and nothing is trained: the others make up for them.

In each layer those go first whose loss the others make up for best, refitted in closed form (see `elimination`). How
many go from which layer is decided by what it does to the answers (see `trials`): each layer is narrowed alone, and the
divergence from the float answers is measured. Only calibration images are looked at, and no labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch.fx import GraphModule

from ...errors import UserError
from ...models.backbone import FLOAT, Backbone
from ...models.data import Batches, first
from ...models.program import trace
from ..aids import Aids
from ..fold_norm import fold
from ..parameters import bias_of, set_bias, set_weight, weight_of
from .budget import measured_curve, share_out, stops_of
from .elimination import Elimination, eliminate
from .hidden import BATCH, observe_hidden, rebatched
from .pairs import Pair, find_pairs
from .trials import Parameters, measure

IMAGES = 128
"""How many the answers are measured with, however many there are."""
REACH = 2.5
"""Times the share asked for that a single layer may give up."""
POINTS = (0.5, 1.25, REACH)
"""Times the share asked for that each layer is narrowed by to see what it does to the answers.

The last is all that it may give up: past the last point a curve would be a guess, and was a wrong one on DeiT-Tiny.
"""


@dataclass(frozen=True)
class Prune:
    """How much goes."""

    neurons: float = 0.1
    """The share of all hidden neurons; layers give up what suits them."""
    multiple: int = 8
    """Of what a layer is left with neurons: kernels read them in vectors, and pad what does not fill one."""

    def __post_init__(self) -> None:
        """Refuse shares and multiples that mean nothing."""
        if not 0 < self.neurons < 1:
            raise UserError(f"neurons is {self.neurons}; it must be a share between 0 and 1, as 0.1")
        if self.multiple < 1:
            raise UserError(f"multiple is {self.multiple}; it must be at least 1")

    def check(self, backbone: Backbone) -> None:
        """Refuse what is quantized already, and what has no neurons that could go."""
        self._plan(backbone)

    def apply(self, backbone: Backbone, batches: Batches, aids: Aids | None = None) -> Backbone:
        """The backbone as a narrower program, calibrated on `batches`."""
        program, pairs = self._plan(backbone)
        stops = [self._stops(pair) for pair in pairs]
        hidden = observe_hidden(program, pairs, batches)
        ways = [
            eliminate(known, weight_of(program, pair.reader).flatten(1), numbers[-1])
            for pair, known, numbers in zip(pairs, hidden, stops, strict=True)
        ]
        measured = self._measure(program, pairs, ways, batches)
        curves = [measured_curve(way.losses.tolist(), one) for way, one in zip(ways, measured, strict=True)]
        gone = share_out(curves, stops, self._budget(pairs))
        for pair, way, count in zip(pairs, ways, gone, strict=True):
            narrow(program, pair, way, count)
        if aids:
            each = ", ".join(f"{pair.name} {count}" for pair, count in zip(pairs, gone, strict=True))
            aids.losses.notes.append(f"of {sum(pair.width for pair in pairs)} neurons {sum(gone)} go: {each}")
        narrower = trace(program, backbone.preprocessing.input_size)
        return replace(backbone, module=narrower, form=(*backbone.form, f"prune neurons={self.neurons:g}"))

    def _plan(self, backbone: Backbone) -> tuple[GraphModule, list[Pair]]:
        """The program and its pairs, if the budget can be met."""
        if backbone.precision != FLOAT:
            raise UserError(
                f"{backbone.name} is {backbone.precision} already; prune a float backbone, then quantize it"
            )
        program = trace(backbone.module, backbone.preprocessing.input_size)
        fold(program)
        pairs = find_pairs(program)
        if not pairs:
            raise UserError(
                f"{backbone.name} has no neurons to prune: no layer is read by one other alone, past an activation"
            )
        room = sum(self._stops(pair)[-1] for pair in pairs)
        least = min((self._stops(pair)[1] for pair in pairs if len(self._stops(pair)) > 1), default=0)
        budget, widths = self._budget(pairs), sum(pair.width for pair in pairs)
        if not least or budget < least:
            raise UserError(
                f"neurons={self.neurons:g} of {widths} in {backbone.name} is less than a layer gives up in one step; "
                f"ask for more, or for a multiple below {self.multiple}"
            )
        if budget > room:
            raise UserError(
                f"neurons={self.neurons:g} asks {backbone.name} for {budget} of {widths}, it can give up {room} "
                f"and keep {self.multiple} in each layer; ask for less"
            )
        return program, pairs

    def _budget(self, pairs: Sequence[Pair]) -> int:
        return round(self.neurons * sum(pair.width for pair in pairs))

    def _stops(self, pair: Pair) -> list[int]:
        return stops_of(pair.width, self.multiple, round(min(1.0, REACH * self.neurons) * pair.width))

    def _measure(
        self, program: GraphModule, pairs: Sequence[Pair], ways: Sequence[Elimination], batches: Batches
    ) -> list[Mapping[int, float]]:
        """What some numbers of removals do to the answers, for each pair."""
        counts = [
            sorted({min(max(round(point * self.neurons * pair.width), 1), len(way.order)) for point in POINTS})
            for pair, way in zip(pairs, ways, strict=True)
        ]
        trials = {
            pair.reader: [refitted(program, pair, way, count) for count in those]
            for pair, way, those in zip(pairs, ways, counts, strict=True)
        }
        found = measure(program, trials, rebatched(first(batches, IMAGES), BATCH))
        return [dict(zip(those, found[pair.reader], strict=True)) for pair, those in zip(pairs, counts, strict=True)]


def refitted(program: GraphModule, pair: Pair, way: Elimination, count: int) -> Parameters:
    """The reader's parameters when `count` neurons give nothing any more."""
    was = weight_of(program, pair.reader)
    weight, shift = way.refitted(count)
    return weight.view_as(was).float(), (bias_of(program, pair.reader) + shift).float()


def narrow(program: GraphModule, pair: Pair, way: Elimination, count: int) -> None:
    """Take the first `count` neurons out, in place."""
    if not count:
        return
    kept = way.kept(count)
    weight, shift = way.refitted(count)
    was, bias = weight_of(program, pair.reader), bias_of(program, pair.reader)
    set_bias(program, pair.reader, bias + shift)
    set_weight(program, pair.reader, weight[:, kept].view(len(was), len(kept), *was.shape[2:]))
    was, bias = weight_of(program, pair.writer), bias_of(program, pair.writer)
    set_bias(program, pair.writer, bias[kept])
    set_weight(program, pair.writer, was[kept])
