"""What a recovery that was stopped goes on from: one file, whole or not there, of tensors and plain values only."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...atomic import replacing

NAME = "checkpoint.pt"


@dataclass
class State:
    """Where a recovery stands. Whatever else it does follows from this, its images and its seed."""

    steps: int
    """That were planned for."""
    precision: str
    step: int = 0
    """That are done."""
    history: list[float] = field(default_factory=list)
    """Divergence of the held-out images, before the first step and at each check."""
    best_step: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    """What had been learned where it was smallest."""
    learned: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    """Of what was learned, over about the last pass."""
    compared: dict[str, float] = field(default_factory=dict)
    """The features that mean the same to student and teacher, and how far apart they were, 1 where that was near."""
    last: int = 0
    """The step to end after: that of the plan, or an earlier one when the time is up."""
    seconds: float = 0.0
    """That it took up to here."""
    falls: int = 0
    """How often rates have fallen."""
    fell: int = 0
    """The step after which they did last."""

    def __post_init__(self) -> None:
        """End with the plan, where nothing else is said."""
        self.last = self.last or self.steps

    def save(self, folder: Path | None) -> None:
        """Put it in a folder, if there is one."""
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / NAME) as partial:
            torch.save(vars(self), partial)

    @classmethod
    def load(cls, folder: Path | None) -> "State | None":
        """What a folder holds, if anything; tensors and plain values are read, nothing else."""
        if folder is None or not (folder / NAME).is_file():
            return None
        return cls(**torch.load(folder / NAME, map_location="cpu", weights_only=True))
