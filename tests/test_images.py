import pytest
from torch import nn

from vitc.errors import UserError
from vitc.images import choose
from vitc.models import demo_images
from vitc.models.backbone import Backbone, Preprocessing
from vitc.recipe import Recipe

BACKBONE = Backbone("toy", nn.Identity(), Preprocessing(), len(demo_images.CLASSES), demo_images.CLASSES, "")


def test_demo_is_scored_and_calibrated_on_images_of_different_seeds() -> None:
    scored, calibration = choose(Recipe(data="demo:40", calib_images=8), BACKBONE)
    assert scored is not None
    assert calibration is not None
    assert (len(scored), len(calibration)) == (40, 8)
    assert not set(scored.hashes()) & set(calibration.hashes())


def test_without_a_technique_nothing_is_calibrated() -> None:
    scored, calibration = choose(Recipe(data="demo:4", ptq="off"), BACKBONE)
    assert scored is not None
    assert calibration is None


def test_nothing_scored_still_calibrates_on_what_is_named() -> None:
    scored, calibration = choose(Recipe(data="none", calib="demo:6"), BACKBONE)
    assert scored is None
    assert calibration is not None
    assert len(calibration) == 6


def test_nothing_to_calibrate_with_is_refused() -> None:
    with pytest.raises(UserError, match="--calib"):
        Recipe(data="none")
