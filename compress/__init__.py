"""The techniques, in the order in which they may be applied: one row a technique, one file and one dataclass each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..models.backbone import Backbone
from ..models.data import Batches
from .aids import Aids
from .quantize import Quantize
from .recover import Recover
from .structure import Prune, parse
from .tokens import Drop, Merge


class Technique(Protocol):
    """A step from one backbone to another; the one given is never changed."""

    def check(self, backbone: Backbone) -> None:
        """Refuse what cannot work, before any work is done."""

    def apply(self, backbone: Backbone, batches: Batches, aids: Aids | None = None) -> Backbone:
        """The compressed backbone, calibrated on unlabelled `batches`."""


CALIBRATION, RECOVERY = "calibration", "recovery"
"""What a run has images for."""


@dataclass(frozen=True)
class Row:
    """A technique's entry: what the recipe calls it, what it makes smaller, and whose idea it is."""

    name: str
    kind: str
    technique: type[Technique]
    source: str
    read: Callable[[str], Technique] | None = None
    """What the recipe's word of this name says; None where it has several words."""
    images: str | None = CALIBRATION
    """Which images it looks at; None: none."""


KINDS = ("tokens", "structure", "factorize", "recover", "bits")
"""What is done first stands first: tokens go while the blocks can still be told apart, and bits see what is left.

Where nothing but bits went, recovery comes after them: then it is codes and ranges that learn.
"""
TAKING = ("tokens", "structure", "factorize")
"""The kinds that take something away which can be learned back in float."""

TECHNIQUES = (
    Row("merge", "tokens", Merge, "ToMe, arXiv 2210.09461", Merge, images=None),
    Row("drop", "tokens", Drop, "EViT, arXiv 2202.07800", Drop, images=None),
    Row(
        "prune",
        "structure",
        Prune,
        "what the others make up for goes: VBP, and CORP, arXiv 2602.05243; or whole channels: DepGraph, "
        "arXiv 2301.12900, Isomorphic Pruning, arXiv 2407.04616, NViT, arXiv 2110.04869",
        parse,
    ),
    Row("recover", "recover", Recover, "self-distillation: TinyViT, arXiv 2207.10666", Recover, images=RECOVERY),
    Row("quantize", "bits", Quantize, "static, equalized, compensated: docs/quantization.md"),
)
