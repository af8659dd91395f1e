"""What a run lends its techniques besides calibration images; each uses what it needs of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from ..models.backbone import Backbone
from .losses import Losses

Clock = Callable[[Backbone], float]
"""How long a backbone takes on the engine that will serve it, as a share of what the untouched one takes there."""


@dataclass(frozen=True)
class Aids:
    """Alone, without a run, a technique has somewhere to note what it did, and nothing else."""

    losses: Losses = field(default_factory=Losses)
    """Is told what was done, and what it costs each layer."""
    teacher: Backbone | None = None
    """The backbone as it came, before any technique."""
    clock: Clock | None = None
    folder: Path | None = None
    """Where a technique that takes long keeps what a resumed run goes on from; nothing else is in it."""
    floats: Path | None = None
    """Where quantization leaves the float weights that it chose codes for, and recovery of these codes starts from."""
    labels: Tensor | None = None
    """Classes of the images that a technique learns from, in their order, where somebody said."""
    calibrated: int = 0
    """How many images that a technique learns from, the last, are the run's calibration images."""
    advance: Callable[[int], None] = lambda _: None
    """Is told how much was done since it was told last."""
