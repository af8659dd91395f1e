"""What a student is held against: what its teacher says of images that nobody learns from, as they are scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .loss import LAST, Feature, is_near, variance
from .student import Student
from .views import Views

AGREES = 1.0
"""Features are compared if they are nearer to the teacher's than its mean is: else they mean something else. Beside
signs they only are far off: there those of the stream are compared that are nearer than nothing is."""


@dataclass(frozen=True)
class Exam:
    """Some images, and a teacher's answers."""

    views: Views
    places: Sequence[int]
    batch: int
    """How many images are looked at together."""
    device: torch.device
    wanted: Tensor
    """Its logits, [N, classes]."""
    known: Mapping[str, Feature]
    """Its features."""

    @classmethod
    def by(cls, teacher: Student, views: Views, places: Sequence[int], batch: int, device: torch.device) -> "Exam":
        """On these images, by what a teacher says of them."""
        wanted, features = cls(views, places, batch, device, torch.empty(0), {}).answers(teacher)
        known = {name: Feature(one, variance(one)) for name, one in features.items()}
        return cls(views, places, batch, device, wanted, known)

    def answers(self, model: Student) -> tuple[Tensor, dict[str, Tensor]]:
        """What a model says of the images, and its features."""
        with torch.no_grad():
            parts = [
                model(self.views.plain(self.places[at : at + self.batch]).to(self.device))
                for at in range(0, len(self.places), self.batch)
            ]
        features = {name: torch.cat([part[name] for _, part in parts]) for name in parts[0][1]}
        return torch.cat([logits for logits, _ in parts]), features

    def apart(self, student: Student) -> tuple[float, dict[str, float]]:
        """How far a student's answers are from the teacher's.

        And which features mean the same, with how far they are, where that is far: all are to count alike.
        """
        found, features = self.answers(student)
        own, wanted = found.log_softmax(1), self.wanted.log_softmax(1)
        apart = functional.kl_div(own, wanted, reduction="batchmean", log_target=True).clamp_min(0)  # rounding may err
        shown = [
            name for name, one in self.known.items() if name in features and features[name].shape == one.wanted.shape
        ]
        distances = {name: float(self.known[name].distance(features[name])) for name in shown}
        far = [name for name in shown if name != LAST and student.in_signs]
        near = {name for name in far if is_near(features[name], self.known[name].wanted)}
        same = [name for name in shown if distances[name] < AGREES or name in near]
        return float(apart), {name: max(1.0, distances[name]) for name in same}
