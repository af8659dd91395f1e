"""The teacher: what it says of views, asked once, kept on disk where there is a folder."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .answers import Answers, sparse
from .devices import arithmetic
from .duration import FP32
from .student import Student
from .views import Views

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass
class Teaching:
    """A teacher and what it was shown."""

    teacher: Student
    views: Views
    places: Sequence[int]
    """Of the images that are learned from."""
    batch: int
    accelerator: "Accelerator"
    folder: Path | None = None
    precision: str = FP32
    """Of its products: as the student's, as it is asked about as many views as that learns from."""
    known: dict[int, Answers] = field(default_factory=dict)

    def of(self, number: int) -> Answers:
        """What it says of the views of this number, a row an image."""
        if number not in self.known:
            path = self.folder / f"answers-{number}.safetensors" if self.folder else None
            if path and path.is_file():
                self.known[number] = Answers.load(path)
            else:
                self.known[number] = found = self._ask(number)
                if path and self.accelerator.is_main_process:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    found.save(path)
        return self.known[number]

    def _ask(self, number: int) -> Answers:
        """Each process asks of its part; all know the whole."""
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        share = -(-len(self.places) // world)
        padded = [*self.places, *[self.places[0]] * (share * world - len(self.places))]
        mine = padded[rank * share : (rank + 1) * share]
        parts = [
            self.answer(self.views.drawn(mine[at : at + self.batch], number)) for at in range(0, share, self.batch)
        ]
        found = {}
        for name in parts[0].tensors():
            whole = torch.cat([part.tensors()[name] for part in parts])
            gathered = self.accelerator.gather(whole.to(self.accelerator.device)).cpu()
            found[name] = gathered[: len(self.places)]
        return Answers.of(found)

    def answer(self, images: Tensor) -> Answers:
        """What it says of some images."""
        device = self.accelerator.device
        with torch.no_grad(), arithmetic(self.precision, device):
            logits, features = self.teacher(images.to(device))
        return sparse(logits.cpu(), {name: one.cpu() for name, one in features.items()})
