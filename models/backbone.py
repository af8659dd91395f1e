"""A trained backbone as it travels through vitc: the module and everything that must not be lost on the way."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule

INTERPOLATIONS = ("bicubic", "bilinear", "nearest", "lanczos")
FLOAT = "fp32"
"""The precision of a backbone that nothing has quantized."""
CROP_MODES = ("center", "squash", "border")


@dataclass(frozen=True)
class Preprocessing:
    """From an image to the backbone's input: resize so that the crop is `crop_pct` of it, crop, normalize."""

    input_size: tuple[int, int, int] = (3, 224, 224)
    crop_pct: float = 0.875
    crop_mode: str = "center"
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records and artifact metadata."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Backbone:
    """A module in eval mode, with its preprocessing, its classes and its origin."""

    name: str
    module: nn.Module
    preprocessing: Preprocessing
    outputs: int
    """How many classes it tells apart."""
    classes: tuple[str, ...]
    """Their names, in order; empty where nobody said."""
    weights_sha256: str
    precision: str = FLOAT
    """Of its arithmetic: fp32, int8, …"""
    source_sha256: str = ""
    """Hash of the user's file that builds the module; empty where vitc knows how."""
    form: tuple[str, ...] = ()
    """What was taken away from it, and how much: `merge 8`; in the order of doing."""

    @property
    def label(self) -> str:
        """What it is called among the others of a run: fp32, merge-fp32, merge-int8."""
        return label((step.partition(" ")[0] for step in self.form), self.precision)

    def fingerprint(self) -> str:
        """A hash of everything that an artifact made of it depends on: equal for equal backbones."""
        origin = (self.name, self.weights_sha256, self.source_sha256)
        facts = (*origin, self.precision, self.form, self.preprocessing, self.classes)
        digest = hashlib.sha256(repr(facts).encode())
        if isinstance(self.module, GraphModule):
            digest.update(str(self.module.graph).encode())  # ranges and schemes are constants of the graph
        for name, tensor in self.module.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()


def label(steps: Iterable[str], precision: str) -> str:
    """What a backbone is called that these steps took something away from."""
    return "-".join([*steps, precision])
