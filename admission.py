"""What is let in: a backbone that the techniques can work on, engines that are there, targets that can hold it."""

from pathlib import Path

import torch

from . import checks
from .clock import engine
from .compress.slim import Slim
from .errors import NotAvailable
from .export import TARGETS, preflight
from .export.preflight import Finding
from .images import choose, few
from .loading import load
from .models.backbone import Backbone
from .models.data import ImageSet
from .recipe import Recipe
from .runtimes import RUNTIMES, energy

IMAGES = 8
"""How many show how large the values become."""


def admitted(recipe: Recipe) -> Backbone:
    """The backbone, refused if a technique cannot work on it, or an engine asked for is not there."""
    for name in recipe.runtime:
        if name in RUNTIMES and (problem := RUNTIMES[name].missing()):
            raise NotAvailable(problem)
    energy.check(recipe.meter)
    backbone = load(recipe.model, Path(recipe.weights) if recipe.weights else None, recipe.preprocessing)
    for _, technique in recipe.steps:
        technique.check(backbone)
        if isinstance(technique, Slim) and technique.latency and engine(recipe) is None:
            raise technique.unmeasured()
    return backbone


def findings(recipe: Recipe, backbone: Backbone, images: ImageSet | None) -> dict[str, list[Finding]]:
    """Each target's findings, with the values that a few images give the backbone."""
    pixels = few(images, IMAGES, backbone.preprocessing) if images else None
    sample = checks.parity_images(pixels, backbone.preprocessing, recipe.seed)[0][:IMAGES]
    bits = recipe.technique.weight_bits if recipe.technique else None
    subject = preflight.subject(backbone, bits, recipe.options, torch.from_numpy(sample))
    return {target: list(TARGETS[target].check(subject)) for target in recipe.export}


def check(recipe: Recipe) -> dict[str, list[Finding]]:
    """What each target of the recipe finds wrong with the backbone; nothing else is done."""
    backbone = admitted(recipe)
    scored, calibration = choose(recipe, backbone)
    return findings(recipe, backbone, calibration or scored)
