"""The embedded demo: a small vision transformer, trained by `train_demo` on the images of `demo_images`."""

from pathlib import Path

import torch
from torch import nn

from ..errors import NotAvailable
from . import demo_images
from .backbone import Backbone, Preprocessing
from .timm_ready import timm
from .weights import RANDOM, fill, fingerprint, read

WEIGHTS = Path(__file__).with_name("demo.safetensors")
PATCH, WIDTH = 8, 128
"""Side of a patch in pixels; how many numbers a token has."""

PREPROCESSING = Preprocessing(
    input_size=(3, demo_images.SIZE, demo_images.SIZE), crop_pct=1.0, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
)


def build() -> nn.Module:
    """The demo's architecture with fresh weights."""
    module: nn.Module = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=demo_images.SIZE,
        patch_size=PATCH,
        embed_dim=WIDTH,
        depth=6,
        num_heads=4,
        num_classes=len(demo_images.CLASSES),
    )
    return module


def load(spec: str, weights: Path | None = None) -> Backbone:
    """The demo backbone, with its own weights unless others are given."""
    if weights == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = build()
        sha256 = fingerprint(module)
    else:
        path = weights or WEIGHTS
        if weights is None and not path.is_file():
            raise NotAvailable(
                f"the demo's weights {path.name} are not installed: run python -m vitc.models.train_demo"
            )
        module = build()
        read_weights = read(path)
        fill(module, read_weights, path, spec)
        sha256 = read_weights.sha256
    return Backbone(spec, module.eval(), PREPROCESSING, len(demo_images.CLASSES), demo_images.CLASSES, sha256)
