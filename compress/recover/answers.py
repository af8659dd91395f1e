"""What a teacher said of some views, kept small: the shares of its first classes, and features.

Shares that are left out are taken to be equal (TinyViT, arXiv 2207.10666, stores logits so).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...atomic import replacing

KEPT = 100
"""Classes whose shares are kept, where there are more."""
FEATURES = "features."
"""What their names begin with in a file."""


@dataclass(frozen=True)
class Answers:
    """A row a view."""

    shares: Tensor
    """[N, K], logarithms, in half precision."""
    classes: Tensor
    """[N, K], whose shares these are."""
    features: Mapping[str, Tensor]
    """[N, ...] each, in half precision."""

    def at(self, places: Sequence[int], outputs: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Shares of all classes [B, outputs], and features."""
        rows = list(places)
        features = {name: one[rows].float() for name, one in self.features.items()}
        return dense(self.shares[rows], self.classes[rows], outputs), features

    def tensors(self) -> dict[str, Tensor]:
        """All that it holds, by name."""
        return {"shares": self.shares, "classes": self.classes} | {
            FEATURES + name: one for name, one in self.features.items()
        }

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "Answers":
        """What gave such `tensors`."""
        features = {name.removeprefix(FEATURES): one for name, one in tensors.items() if name.startswith(FEATURES)}
        return cls(tensors["shares"], tensors["classes"], features)

    def save(self, path: Path) -> None:
        """Write them, whole or not at all."""
        with replacing(path) as partial:
            save_file({name: tensor.contiguous() for name, tensor in self.tensors().items()}, partial)

    @classmethod
    def load(cls, path: Path) -> "Answers":
        """What `save` wrote."""
        return cls.of(load_file(path))


def sparse(logits: Tensor, features: Mapping[str, Tensor]) -> Answers:
    """What is kept of a teacher's answers."""
    shares, classes = logits.float().log_softmax(1).topk(min(KEPT, logits.shape[1]), dim=1)
    return Answers(shares.half(), classes.int(), {name: one.half() for name, one in features.items()})


def dense(shares: Tensor, classes: Tensor, outputs: int) -> Tensor:
    """The shares of all classes: those that are kept, and the rest of the whole spread over the others."""
    kept = shares.float().exp()
    total = kept.sum(1, keepdim=True)
    others = outputs - kept.shape[1]
    if not others:
        return torch.zeros(len(kept), outputs).scatter_(1, classes.long(), kept / total)
    kept = kept / total.clamp_min(1)
    rest = (1 - kept.sum(1, keepdim=True)).clamp_min(0) / others
    return rest.expand(-1, outputs).scatter(1, classes.long(), kept)
