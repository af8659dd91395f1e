"""Heads, neurons and channels go until a share of the multiply-adds, or of the measured time, is left.

The groups are torch-pruning's (see `groups`), what goes is what matters least for what it saves (see `gates`, `plan`),
and it goes in rounds, as what is left matters otherwise than before. Nothing is trained: at half of the multiply-adds
a model has forgotten most of what it knew, and has to be trained again.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch.fx import GraphModule

from ...errors import UserError
from ...models.backbone import FLOAT, Backbone
from ...models.cost import cost
from ...models.data import Batches, first
from ...models.program import trace
from ..aids import Aids, Clock
from .cuts import Group, Kept, narrowed
from .gates import score
from .groups import find_groups
from .load import load_of
from .plan import Terms, choose, summary, widths
from .table import measure
from .trying import fitting

IMAGES = 64
"""How many are looked at in each round, however many there are."""
ROUNDS = 5
TRIES = 6
"""How often a plan is measured and mended."""
CLOSE = {"macs": 0.003, "latency": 0.02}
"""How near to the target is near enough, as a share of it."""


@dataclass(frozen=True)
class Slim:
    """How much is left."""

    macs: float | None = None
    """The share of the multiply-adds."""
    latency: float | None = None
    """The share of the time that the target's engine takes."""
    multiple: int = 8
    """Of what widths are left: kernels read channels in vectors, and pad what does not fill one. Heads go whole."""

    def __post_init__(self) -> None:
        """Refuse shares and multiples that mean nothing."""
        if (self.macs is None) == (self.latency is None):
            raise UserError("prune takes one of macs and latency, as in macs=0.5")
        if not 0 < self.target < 1:
            raise UserError(f"{self.word} is {self.target}; it must be a share between 0 and 1, as 0.5")
        if self.multiple < 1:
            raise UserError(f"multiple is {self.multiple}; it must be at least 1")

    @property
    def word(self) -> str:
        """What is to become less."""
        return "latency" if self.macs is None else "macs"

    @property
    def target(self) -> float:
        """The share that is to be left of it."""
        return self.latency or 0.0 if self.macs is None else self.macs

    def check(self, backbone: Backbone) -> None:
        """Refuse what has no modules any more, and what cannot be cut so far."""
        self._terms(backbone)

    def apply(self, backbone: Backbone, batches: Batches, aids: Aids | None = None) -> Backbone:
        """The backbone as a narrower program; `batches` tell what matters."""
        terms, aids = self._terms(backbone), aids or Aids()
        meter = _Meter(backbone, terms.groups, self._clock(aids) if self.word == "latency" else None)
        told = terms if self.word == "macs" else replace(terms, objective=measure(terms, meter.time))
        kept = self._rounds(backbone, told, list(first(batches, IMAGES)), meter)
        module = narrowed(backbone.module, terms.groups, kept)
        macs = meter.macs(kept)
        left = f"{macs:.4f} of the multiply-adds are left" + (
            f", {meter.seen[-1]:.3f} of the time when last measured; macs={macs:.4f} repeats it about"
            if self.word == "latency"
            else ""
        )
        aids.losses.notes.append(f"{summary(terms.groups, kept)} go: {left}; left are {widths(terms.groups, kept)}")
        program = trace(module.requires_grad_(requires_grad=False), backbone.preprocessing.input_size)
        return replace(backbone, module=program, form=(*backbone.form, f"prune {self.word}={self.target:g}"))

    def _rounds(self, backbone: Backbone, terms: Terms, images: Sequence[torch.Tensor], meter: "_Meter") -> Kept:
        """What is kept in the end: rounds of scoring and cutting, the last of them mended by what is measured."""
        before: Kept = {group.name: group.whole for group in terms.groups}
        for number in range(1, ROUNDS):
            scores = score(backbone.module, terms.groups, before, images)
            before = choose(terms, before, scores, self.target ** (number / ROUNDS))
        scores = score(backbone.module, terms.groups, before, images)
        aim, tried = self.target, list[tuple[float, Kept]]()
        for _ in range(TRIES):
            kept = choose(terms, before, scores, aim)
            found = meter.macs(kept) if self.word == "macs" else self._time(meter, kept)
            tried.append((abs(found / self.target - 1), kept))
            if tried[-1][0] <= CLOSE[self.word]:
                break
            aim *= self.target / found
        return min(tried, key=lambda one: one[0])[1]

    def _time(self, meter: "_Meter", kept: Kept) -> float:
        """What is measured; twice, where once seems near enough, for it may have been luck."""
        once = meter.time(kept)
        return once if abs(once / self.target - 1) > CLOSE["latency"] else (once + meter.time(kept)) / 2

    def _terms(self, backbone: Backbone) -> Terms:
        """What can be cut, if the target can be met."""
        if backbone.precision != FLOAT:
            raise UserError(
                f"{backbone.name} is {backbone.precision} already; prune a float backbone, then quantize it"
            )
        if isinstance(backbone.module, GraphModule):
            raise UserError(
                f"{backbone.name} is a saved program, whose layers cannot be told apart: {self.word}= starts from the "
                "model's name; a program takes neurons="
            )
        size = backbone.preprocessing.input_size
        groups = fitting(backbone.module, find_groups(backbone.module, size), size)
        load = load_of(backbone.module, size)
        terms = Terms(groups, self.multiple, lambda kept: load.share(groups, kept))
        least = {group.name: group.whole for group in groups}
        for group in groups:
            least[group.name][group.units - terms.stops(group)[-1] :] = False
        if self.word == "macs" and (not groups or terms.objective(least) > self.target):
            raise UserError(
                f"{backbone.name} cannot be pruned to macs={self.target:g}: what can be cut in it takes it down to "
                f"macs={math.ceil(terms.objective(least) * 1000) / 1000}, no further"
            )
        if not groups:
            raise UserError(f"{backbone.name} has nothing to prune: no channels that can be cut were found in it")
        return terms

    def _clock(self, aids: Aids) -> Clock:
        if aids.clock is None:
            raise self.unmeasured()
        return aids.clock

    def unmeasured(self) -> UserError:
        """What is said where no engine can be asked."""
        return UserError(
            f"latency={self.target:g} is measured on an engine, and none runs here: use macs={self.target:g}, or name "
            "a target whose runtime is installed"
        )


class _Meter:
    """What a plan really comes to; it remembers the times."""

    def __init__(self, backbone: Backbone, groups: Sequence[Group], clock: Callable[[Backbone], float] | None) -> None:
        self._backbone, self._groups, self._clock = backbone, groups, clock
        self._size = backbone.preprocessing.input_size
        self._whole = cost(backbone.module, self._size).macs
        self.seen: list[float] = []

    def macs(self, kept: Kept) -> float:
        return cost(self._narrow(kept).module, self._size).macs / self._whole

    def time(self, kept: Kept) -> float:
        assert self._clock is not None
        self.seen.append(self._clock(self._narrow(kept)))
        return self.seen[-1]

    def _narrow(self, kept: Kept) -> Backbone:
        return replace(self._backbone, module=narrowed(self._backbone.module, self._groups, kept))
