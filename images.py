"""Which images a run scores and which it calibrates with; never the same ones."""

from .models import data
from .models.backbone import Backbone
from .models.data import ImageSet
from .recipe import Recipe


def choose(recipe: Recipe, backbone: Backbone) -> tuple[ImageSet | None, ImageSet | None]:
    """The scored images and the calibration images; None where the recipe wants none."""
    classes = data.Classes(backbone.outputs, backbone.classes)
    scored = None if recipe.data == data.NONE else data.find(recipe.data, classes, labelled=True)
    if recipe.technique is None:
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
