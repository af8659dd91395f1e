from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from torch import nn

from vitc.errors import UserError
from vitc.images import choose, to_learn_from
from vitc.models import demo_images
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.data import ImageSet
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


def learned_from(recipe: Recipe, note: Callable[[str], None] = lambda _: None) -> ImageSet | None:
    scored, calibration = choose(recipe, BACKBONE)
    return to_learn_from(recipe, BACKBONE, scored, calibration, note)


def test_recovery_learns_from_images_of_its_own_or_else_from_the_calibration_images() -> None:
    plain: dict[str, Any] = {"data": "demo:40", "calib_images": 8}
    assert learned_from(Recipe(**plain)) is None
    assert learned_from(Recipe(**plain, recover="30")) == choose(Recipe(**plain), BACKBONE)[1]
    both = {**plain, "recover": "30", "recover_data": "demo:20"}
    calibration, found = choose(Recipe(**both), BACKBONE)[1], learned_from(Recipe(**both))
    assert calibration is not None
    assert found is not None
    assert len(found) == 28
    assert found.images[20:] == calibration.images, "they come last"
    assert not set(found.hashes()[:20]) & set(calibration.hashes())
    assert {image.label for image in found.images} == {None}


def test_of_very_many_images_recovery_takes_some_and_says_so() -> None:
    words: dict[str, Any] = {"data": "demo:40", "calib_images": 8, "recover": "30", "recover_data": "demo:50"}
    told: list[str] = []
    found = learned_from(Recipe(**words, recover_images=20), told.append)
    assert found is not None
    assert len(found) == 28
    assert told == ["recovery learns from 20 of the 50 images of demo:50: see --recover-images"]
    every = learned_from(Recipe(**words, recover_images=50), told.append)
    assert every is not None
    assert len(every) == 58
    assert len(told) == 1
    learned_from(Recipe(data="demo:40", calib_images=8, recover="30"), told.append)
    assert "from the 8 calibration images" in told[1]


def test_recovery_takes_labels_where_there_are_any_and_never_scored_images(tmp_path: Path) -> None:
    for index in range(12):
        PIL.Image.fromarray(demo_images.draw(9, index)).save(tmp_path / f"{index}.png")
    words: dict[str, Any] = {"recover": "30", "recover_data": str(tmp_path)}
    found = learned_from(Recipe(data="demo:8", calib_images=5, **words))
    assert found is not None
    assert [image.label for image in found.images] == [None] * 17
    again = learned_from(Recipe(data="demo:8", calib=str(tmp_path), calib_images=5, **words))
    assert again is not None
    assert len(again) == 12, "no image comes twice"
    rows = "\n".join(f"{index}.png,{demo_images.label(index)}" for index in range(12))
    (tmp_path / "manifest.csv").write_text(f"path,label\n{rows}\n")
    found = learned_from(Recipe(data="demo:8", **words))
    assert found is not None
    assert [image.label for image in found.images] == [demo_images.label(index) for index in range(12)]
    with pytest.raises(UserError, match="12 of 12 recovery images are scored too"):
        learned_from(Recipe(data=str(tmp_path), calib="demo:4", **words))
