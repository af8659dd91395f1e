"""The techniques, in the order in which they may be applied: one row a technique, one file and one dataclass each."""

from dataclasses import dataclass
from typing import Protocol

from ..models.backbone import Backbone
from ..models.data import Batches
from .quantize import Quantize


class Technique(Protocol):
    """A step from one backbone to another; the one given is never changed."""

    def check(self, backbone: Backbone) -> None:
        """Refuse what cannot work, before any work is done."""

    def apply(self, backbone: Backbone, batches: Batches) -> Backbone:
        """The compressed backbone, calibrated on unlabelled `batches`."""


@dataclass(frozen=True)
class Row:
    """A technique's entry: what the recipe calls it, what it makes smaller, and whose idea it is."""

    name: str
    kind: str
    technique: type[Technique]
    source: str


KINDS = ("structure", "tokens", "factorize", "recover", "bits")
"""What is done first stands first: a step sees what earlier kinds left, and bits see the final structure."""

TECHNIQUES = (
    Row(
        "quantize",
        "bits",
        Quantize,
        "static, equalized, compensated: docs/quantization.md",
    ),
)
