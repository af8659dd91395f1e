"""Self-distillation from the untouched backbone, on images that need no labels (arXiv 1503.02531, TinyViT 2207.10666).

After tokens or neurons were taken away, what is left learns to make up for them. After rounding, codes and ranges learn
(quantization-aware training with gradients that pass straight through, LSQ, arXiv 1902.08153).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from safetensors.torch import load_file

from ...errors import UserError
from ...models.backbone import Backbone
from ...models.data import Batches
from ...models.indexed import indexed
from ..aids import Aids
from .checkpoint import State
from .duration import parse
from .student import Student
from .training import How, Lesson, Training
from .views import Views


@dataclass(frozen=True)
class Recover:
    """How long: minutes as `30`, or steps as `800steps`."""

    duration: str = "20steps"
    seed: int = 0
    how: How = field(default_factory=How)

    def __post_init__(self) -> None:
        """Refuse what is no time."""
        parse(self.duration)

    def check(self, backbone: Backbone) -> None:
        """Refuse what does not tell classes apart: what is learned from is how sure the teacher is of each."""
        if backbone.outputs < 2:
            raise UserError(f"{backbone.name} answers {backbone.outputs} number; recovery needs 2 classes or more")

    def apply(self, backbone: Backbone, batches: Batches, aids: Aids | None = None) -> Backbone:
        """The backbone with weights that answer more as the teacher does; without a teacher, as itself."""
        self.check(backbone)
        aids = aids or Aids()
        images = indexed(batches)
        if images.count < 2:
            raise UserError(f"{images.count} images are too few to recover on: name a folder with --recover-data")
        with torch.enable_grad():
            student = Student(backbone, load_file(aids.floats) if aids.floats else None)
            lesson = Lesson(
                Student(aids.teacher or backbone),
                Views(images, backbone.preprocessing, self.seed),
                parse(self.duration),
                aids.labels,
                aids.folder,
                aids.calibrated,
            )
            training = Training(student, lesson, self.how)
            state = training.run(aids.advance)
        part = f"{state.last}of" if state.last < state.steps else ""
        word = f"{part}{state.steps}steps:{state.precision}"
        aids.losses.notes += _notes(training, state, word)
        return student.backbone(f"recover {word}")


def _notes(training: Training, state: State, word: str) -> Iterator[str]:
    """What is to be said of a training."""
    first, best = state.history[0], min(state.history)
    yield (
        f"divergence from the teacher on {len(training.exam.places)} held-out images {first:.3g} -> {best:.3g}, "
        f"best after {state.best_step} of {state.steps} steps; --recover {word} repeats it"
    )
    if state.last < state.steps and training.lesson.duration.minutes is not None:
        yield f"the time was up after {state.last} steps: the machine had become slower"
    if training.looked < training.there:
        yield f"its {state.steps} steps had room for {training.looked} of {training.there} images, drawn at random"
    if training.exam.narrow:
        what = f"the images show {training.exam.shown:.0%} of the classes that so many could show"
        learned = "of them features alone were learned" if state.compared else "what was learned may be of these alone"
        held = ", and what was learned was held against calibration images" if training.lesson.calibrated else ""
        yield f"{what}, so {learned}{held}"
