"""A quantized program in the making: the float program, still exact, and what each of its layers is to become."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor
from torch.fx import GraphModule, Node

from ..models.data import Batches
from .graph import layer


@dataclass(frozen=True)
class Bits:
    """Widths of a layer's weights and of its input."""

    weight: int
    activation: int


@dataclass
class Draft:
    """The program, edited in place by step after step, and the widths of the layers that will be quantized, by name."""

    program: GraphModule
    bits: Mapping[str, Bits]
    scheme: str
    notes: list[str] = field(default_factory=list)
    """What steps did, or why they did not."""
    weights: Mapping[Node, Tensor] = field(default_factory=dict)
    """How much each position of what a linear reads and gives matters, [L]; where none stand, all do alike."""

    def bits_of(self, site: Node) -> Bits | None:
        """What a site is to become; None where it stays float."""
        return self.bits.get(layer(site))


class Step(Protocol):
    """A change of the draft that leaves it computing what it did: an exact identity in real numbers."""

    def apply(self, draft: Draft, batches: Batches) -> None:
        """Change the draft's program in place."""
