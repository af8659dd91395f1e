"""What merging and dropping share: blocks take tokens away by a schedule, and the backbone says so."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial

from torch import nn

from ...models.backbone import Backbone
from ...models.data import Batches
from ..aids import Aids
from .hosts import Host, host
from .schedule import Amounts, Body, parse


@dataclass(frozen=True)
class Reduce(ABC):
    """How many tokens are taken away where, in the words of [schedule](schedule.py)."""

    schedule: str = "75%"

    def __post_init__(self) -> None:
        """Refuse words that mean nothing."""
        parse(self.schedule)

    def check(self, backbone: Backbone) -> None:
        """Refuse a model whose tokens cannot be reduced, and a schedule that it cannot follow."""
        self.amounts(self.host(backbone))

    def apply(
        self,
        backbone: Backbone,
        batches: Batches = (),  # noqa: ARG002  (every technique is given some)
        aids: Aids | None = None,
    ) -> Backbone:
        """The backbone with fewer tokens behind some of its blocks; the one given stays as it is."""
        found, verb = self.host(backbone), type(self).__name__.lower()
        amounts = self.amounts(found)
        if aids:
            aids.losses.notes.append(f"of {found.tokens} tokens, blocks {verb} {', '.join(map(str, amounts))}")
        reductions = {index: self.reduction(found, index, count) for index, count in enumerate(amounts) if count}
        return found.reduced(reductions, f"{verb} {self.schedule}")

    def amounts(self, found: Host) -> Amounts:
        """How many tokens each block takes away."""
        return parse(self.schedule).amounts(self.body(found))

    def body(self, found: Host) -> Body:
        """What a schedule is told of the model and of this."""
        return found.body(partial(self.most, found), partial(self.macs, found))

    def host(self, backbone: Backbone) -> Host:
        """The backbone, refused if its tokens cannot be reduced so."""
        return host(backbone)

    @abstractmethod
    def reduction(self, found: Host, index: int, count: int) -> nn.Module:
        """What takes `count` tokens away in a block."""

    @abstractmethod
    def most(self, found: Host, tokens: int) -> int:
        """How many of so many one block can take away."""

    @abstractmethod
    def macs(self, found: Host, index: int, tokens: int, count: int) -> int:
        """What taking `count` of so many away costs in a block, in multiply-accumulates."""
