"""Which images a run scores and which it calibrates with; never the same ones."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .models import data, decode
from .models.backbone import Backbone, Preprocessing
from .models.data import ImageSet
from .models.decode import Pixels
from .recipe import Recipe


def choose(recipe: Recipe, backbone: Backbone) -> tuple[ImageSet | None, ImageSet | None]:
    """The scored images and the calibration images; None where the recipe wants none."""
    classes = data.Classes(backbone.outputs, backbone.classes)
    scored = None if recipe.data == data.NONE else data.find(recipe.data, classes, labelled=True)
    if not recipe.calibrated:
        return scored, None
    drawn = recipe.data.partition(":")[0] == "demo"
    if scored and not (recipe.calib or drawn):
        calibration, scored = data.split(scored, recipe.calib_images, recipe.seed)
        return scored, calibration
    found = data.find(recipe.calib or "demo", classes, labelled=False, demo_seed=data.DEMO_CALIB_SEED)
    calibration = data.take(found, recipe.calib_images, recipe.seed)
    if scored:
        data.check_disjoint(scored, calibration)
    return scored, calibration


def to_learn_from(
    recipe: Recipe,
    backbone: Backbone,
    scored: ImageSet | None,
    calibration: ImageSet | None,
    note: Callable[[str], None],
) -> ImageSet | None:
    """The images that recovery learns from, with their labels where it is sure that they are; None for no recovery.

    Without labels it learns from the calibration images too: they come last. `note` is told of what the user may not
    expect.
    """
    if not recipe.recover:
        return None
    if not recipe.recover_data:
        if calibration:
            note(f"recovery learns from the {len(calibration)} calibration images; name more with --recover-data")
        return calibration
    classes = data.Classes(backbone.outputs, backbone.classes)
    labelled = data.is_labelled(recipe.recover_data, classes)
    every = data.find(recipe.recover_data, classes, labelled=labelled, demo_seed=data.DEMO_RECOVERY_SEED)
    found = data.at_most(every, recipe.recover_images, recipe.seed)
    if len(found) < len(every):
        note(f"recovery learns from {len(found)} of the {len(every)} images of {every.source}: see --recover-images")
    if scored:
        data.check_disjoint(scored, found, "recover-data")
    if labelled or not calibration:
        return found
    known = set(calibration.hashes()) - {None}
    others = (image for image in found.images if image.sha256 not in known)
    return replace(found, images=(*others, *calibration.images))


def few(images: ImageSet, count: int, preprocessing: Preprocessing) -> Pixels:
    """The first images of a set, decoded on the spot."""
    first = replace(images, images=images.images[:count])
    with tempfile.TemporaryDirectory() as folder:
        pixels = decode.decode(first, preprocessing, Path(folder) / "pixels", 0, lambda _: None)
        return replace(pixels, pixels=pixels.pixels.copy())
