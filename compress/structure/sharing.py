"""What goes from which layer: a share of all units, taken where it does least to the answers, as measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.fx import GraphModule, Node

from ...errors import UserError
from ...models.data import Batches, first
from .budget import measured_curve, share_out, stops_of
from .hidden import BATCH, rebatched
from .trials import Parameters, measure

IMAGES = 128
"""How many the answers are measured with, however many there are."""
REACH = 2.5
"""Times the share asked for that a single layer may give up."""
POINTS = (0.5, 1.25, REACH)
"""Times the share asked for that each layer is narrowed by to see what it does to the answers.

The last is all that it may give up: past the last point a curve would be a guess, and was a wrong one on DeiT-Tiny.
"""


class Room(Protocol):
    """A layer that units can go from."""

    @property
    def name(self) -> str:
        """What its units are called."""

    @property
    def width(self) -> int:
        """How many units it has."""

    @property
    def heads(self) -> int:
        """Into how many equal parts they are divided; each gives up the same number."""


class Way(Protocol):
    """How units of one layer go, one after the other."""

    @property
    def site(self) -> Node:
        """The layer whose parameters say what is lost when some are gone, though nothing is narrower yet."""

    @property
    def losses(self) -> Tensor:
        """What each removal is predicted to cost, in units of its own."""

    def refitted(self, program: GraphModule, count: int) -> Parameters:
        """The site's parameters when the first `count` are gone."""

    def narrow(self, program: GraphModule, count: int) -> None:
        """Take the first `count` out, in place."""


@dataclass(frozen=True)
class Share:
    """How much goes of one kind of unit."""

    word: str
    """What the user asked for it by."""
    part: float
    multiple: int
    """Of what is left of each layer, or of each head."""

    def check(self, rooms: Sequence[Room], name: str) -> None:
        """Refuse a share that cannot be met."""
        stops = [self.stops(room) for room in rooms]
        least = min((numbers[1] for numbers in stops if len(numbers) > 1), default=0)
        budget, widths, room = self.budget(rooms), sum(room.width for room in rooms), sum(one[-1] for one in stops)
        if not least or budget < least:
            raise UserError(
                f"{self.word}={self.part:g} of {widths} in {name} is less than a layer gives up in one step; "
                f"ask for more, or for a multiple below {self.multiple}"
            )
        if budget > room:
            where = "layer" if all(one.heads == 1 for one in rooms) else "head"
            raise UserError(
                f"{self.word}={self.part:g} asks {name} for {budget} of {widths}, it can give up {room} "
                f"and keep {self.multiple} in each {where}; ask for less"
            )

    def stops(self, room: Room) -> list[int]:
        """The numbers of units that may go from a layer."""
        each = room.width // room.heads
        return [room.heads * stop for stop in stops_of(each, self.multiple, round(min(1.0, REACH * self.part) * each))]

    def budget(self, rooms: Sequence[Room]) -> int:
        """How many go from all layers together."""
        return round(self.part * sum(room.width for room in rooms))

    def settle(self, program: GraphModule, rooms: Sequence[Room], ways: Sequence[Way], batches: Batches) -> list[int]:
        """How many go from each layer."""
        measured = self._measure(program, rooms, ways, batches)
        curves = [measured_curve(way.losses.tolist(), one) for way, one in zip(ways, measured, strict=True)]
        return share_out(curves, [self.stops(room) for room in rooms], self.budget(rooms))

    def _measure(
        self, program: GraphModule, rooms: Sequence[Room], ways: Sequence[Way], batches: Batches
    ) -> list[Mapping[int, float]]:
        """What some numbers of removals do to the answers, for each layer."""
        counts = [self._counts(room) for room in rooms]
        trials = {
            way.site: [way.refitted(program, count) for count in those] for way, those in zip(ways, counts, strict=True)
        }
        found = measure(program, trials, rebatched(first(batches, IMAGES), BATCH))
        return [dict(zip(those, found[way.site], strict=True)) for way, those in zip(ways, counts, strict=True)]

    def _counts(self, room: Room) -> list[int]:
        """At how many removals a layer is measured."""
        each, most = room.width // room.heads, self.stops(room)[-1]
        wanted = {room.heads * max(round(point * self.part * each), 1) for point in POINTS}
        return sorted({min(count, most) for count in wanted})
