"""What a trained backbone can do without goes, and nothing is trained: the rest makes up for it.

First whole branches (see `dropping`), then dimensions of queries and keys (`queries`) and of values (`values`), then
hidden neurons (`neurons`): what is dropped needs no narrowing. How much goes from which layer is decided by what it
does to the answers (see `sharing`): each layer is narrowed alone, and the divergence from the float answers is
measured. Only calibration images are looked at, and no labels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from torch.fx import GraphModule

from ...errors import UserError
from ...models.backbone import FLOAT, Backbone
from ...models.data import Batches
from ...models.program import trace
from ..aids import Aids
from ..fold_norm import fold
from . import neurons, queries, values
from .dropping import check_drop, drop
from .pairs import find_pairs
from .sharing import Room, Share, Way


@dataclass(frozen=True)
class Kind:
    """Something that layers have many of."""

    word: str
    noun: str
    missing: str
    """Why a backbone has none."""
    find: Callable[[GraphModule], Sequence[Any]]
    ways: Callable[[GraphModule, Sequence[Any], Sequence[int], Batches], Sequence[Way]]


ATTENTION = "no attention is one operator that reads whole heads of linears"
KINDS = (
    Kind("queries", "query dimensions", ATTENTION, queries.find_queries, queries.ways),
    Kind("values", "value dimensions", ATTENTION, values.find_values, values.ways),
    Kind("neurons", "neurons", "no layer is read by one other alone, past an activation", find_pairs, neurons.ways),
)
"""In the order in which they go."""


@dataclass(frozen=True)
class Prune:
    """How much goes."""

    neurons: float = 0.1
    """The share of all hidden neurons; layers give up what suits them. 0 where none are to go."""
    multiple: int = 8
    """Of what a layer or a head is left with: kernels read vectors, and pad what does not fill one."""
    values: float = 0.0
    """The share of the dimensions of values."""
    queries: float = 0.0
    """The share of the dimensions of queries, and of keys with them."""
    sublayers: int = 0
    """How many branches go, of attention or perceptron."""
    blocks: int = 0
    """How many blocks go, attention and perceptron together."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for kind in KINDS:
            if not 0 <= getattr(self, kind.word) < 1:
                raise UserError(
                    f"{kind.word} is {getattr(self, kind.word)}; it must be a share between 0 and 1, as 0.1"
                )
        for word in ("sublayers", "blocks"):
            if getattr(self, word) < 0:
                raise UserError(f"{word} is {getattr(self, word)}; it must be how many go, as 1")
        if not self.words:
            raise UserError("prune takes nothing away; give a share between 0 and 1, as neurons=0.1, or blocks=1")
        if self.multiple < 1:
            raise UserError(f"multiple is {self.multiple}; it must be at least 1")

    @property
    def words(self) -> str:
        """What was asked for, as the user would say it."""
        asked = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "multiple"}
        return ",".join(f"{word}={value:g}" for word, value in asked.items() if value)

    def check(self, backbone: Backbone) -> None:
        """Refuse what is quantized already, and what has nothing that could go."""
        program = _program(backbone)
        check_drop(program, backbone.name, self.sublayers, self.blocks)
        for kind, share in reversed(self._shares()):  # neurons first: to look for heads separates layers
            _rooms(program, kind, share, backbone.name)

    def apply(self, backbone: Backbone, batches: Batches, aids: Aids | None = None) -> Backbone:
        """The backbone as a smaller program, calibrated on `batches`."""
        program, size = _program(backbone), backbone.preprocessing.input_size
        check_drop(program, backbone.name, self.sublayers, self.blocks)
        notes = []
        if self.sublayers or self.blocks:
            notes += drop(program, self.sublayers, self.blocks, batches)
            program = _retraced(program, size)
        for kind, share in self._shares():
            rooms = _rooms(program, kind, share, backbone.name)
            notes.append(_narrow(program, rooms, kind, share, batches))
            program = _retraced(program, size)
        if aids:
            aids.losses.notes.extend(notes)
        return replace(backbone, module=program, form=(*backbone.form, f"prune {self.words}"))

    def _shares(self) -> list[tuple[Kind, Share]]:
        """What of is to be narrowed, in order."""
        asked = [(kind, float(getattr(self, kind.word))) for kind in KINDS]
        return [(kind, Share(kind.word, part, self.multiple)) for kind, part in asked if part]


def _program(backbone: Backbone) -> GraphModule:
    if backbone.precision != FLOAT:
        raise UserError(f"{backbone.name} is {backbone.precision} already; prune a float backbone, then quantize it")
    program = trace(backbone.module, backbone.preprocessing.input_size)
    fold(program)
    return program


def _retraced(program: GraphModule, size: Sequence[int]) -> GraphModule:
    """The program with the shapes that it has now, and without the tensors that nothing reads any more."""
    return trace(GraphModule(program, program.graph), size)


def _rooms(program: GraphModule, kind: Kind, share: Share, name: str) -> Sequence[Room]:
    """The layers that have such units, if the share can be met."""
    rooms = kind.find(program)
    if not rooms:
        raise UserError(f"{name} has no {kind.noun} to prune: {kind.missing}")
    share.check(rooms, name)
    return rooms


def _narrow(program: GraphModule, rooms: Sequence[Room], kind: Kind, share: Share, batches: Batches) -> str:
    """Take a share of the units out, in place; what is to be said of it."""
    ways = kind.ways(program, rooms, [share.stops(room)[-1] for room in rooms], batches)
    gone = share.settle(program, rooms, ways, batches)
    for way, count in zip(ways, gone, strict=True):
        if count:
            way.narrow(program, count)
    each = ", ".join(f"{room.name} {count}" for room, count in zip(rooms, gone, strict=True))
    return f"of {sum(room.width for room in rooms)} {kind.noun} {sum(gone)} go: {each}"
