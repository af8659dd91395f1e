"""What a student is held against: what its teacher says of images that nothing learns from, as they are scored.

Where there are calibration images among them and the others show few classes, the others do not count: DeiT-Tiny in
one bit came from a divergence of 3.0 to 1.9 on both together, and from 26 % of other photographs named rightly to 22 %.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .loss import LAST, Feature, is_near, variance
from .student import Student
from .views import Views

AGREES = 1.0
"""Features are compared if they are nearer to the teacher's than its mean is: else they mean something else. Beside
signs they only are far off: there those of the stream are compared that are nearer than nothing is."""
NARROW = 0.5
"""Images that show less than this share of the classes that so many could show are of few."""


class Exam:
    """Some images, and a teacher's answers; the last `calibrated` of all images are calibration images."""

    def __init__(self, teacher: Student, views: Views, places: Sequence[int], calibrated: int, batch: int) -> None:
        self.views, self.places, self.batch = views, list(places), batch
        self.device = next(teacher.parameters()).device
        wanted, features = self.answers(teacher)
        others = torch.tensor([place < views.images.count - calibrated for place in places])
        self.shown = shown(wanted[others]) if others.any() else 1.0
        """What share of the classes that so many could show is found in images that are not for calibration."""
        if self.narrow and not others.all():
            rows = (~others).nonzero().flatten().tolist()
            self.places = [self.places[row] for row in rows]
            wanted, features = wanted[rows], {name: one[rows] for name, one in features.items()}
        self.wanted = wanted
        self.known = {name: Feature(one, variance(one)) for name, one in features.items()}

    @property
    def narrow(self) -> bool:
        """Whether these show few."""
        return self.shown < NARROW

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
        there = [
            name for name, one in self.known.items() if name in features and features[name].shape == one.wanted.shape
        ]
        distances = {name: float(self.known[name].distance(features[name])) for name in there}
        far = [name for name in there if name != LAST and student.in_signs]
        near = {name for name in far if is_near(features[name], self.known[name].wanted)}
        same = [name for name in there if distances[name] < AGREES or name in near]
        return float(apart), {name: max(1.0, distances[name]) for name in same}


def shown(logits: Tensor) -> float:
    """What share of the classes, or of as many as there are images, is shown: one over the chance that two agree."""
    images, shares = len(logits), logits.float().softmax(1)
    agree = (shares.sum(0).square().sum() - shares.square().sum()) / max(1, images * (images - 1))
    return 1 / max(1.0, float(agree) * min(images, logits.shape[1]))
