"""The demo's images: what they depend on, and that they can be told apart."""

from collections import Counter

import numpy as np
import pytest

from vitc.models.demo_images import CLASSES, SHAPES, SIZE, TEXTURES, draw, draw_and_cover, label


def test_there_are_enough_classes_of_both_kinds() -> None:
    assert len(CLASSES) == len(set(CLASSES)) >= 10
    assert set(CLASSES) == SHAPES.keys() | TEXTURES.keys()


def test_classes_take_turns() -> None:
    assert set(Counter(map(label, range(5 * len(CLASSES)))).values()) == {5}


def test_an_image_depends_on_its_seed_and_index_only() -> None:
    forwards = [draw(7, index) for index in range(6)]
    np.random.seed(1)  # noqa: NPY002  (the global state that must not matter)
    backwards = [draw(7, index) for index in reversed(range(6))]
    for image, again in zip(forwards, reversed(backwards), strict=True):
        np.testing.assert_array_equal(image, again)


def test_no_two_images_are_alike() -> None:
    images = {draw(seed, index).tobytes() for seed in range(3) for index in range(12)}
    assert len(images) == 36


@pytest.mark.parametrize("index", range(len(CLASSES)), ids=CLASSES)
def test_an_image_shows_its_object(index: int) -> None:
    for turn in range(4):
        image, cover = draw_and_cover(7, index + turn * len(CLASSES))
        assert image.shape == (SIZE, SIZE, 3)
        assert image.dtype == np.uint8
        assert image.std() > 5
        assert cover.shape == (SIZE, SIZE)
        assert cover.min() >= 0
        assert cover.max() == 1
        assert 0.01 < cover.mean() < 0.6


def test_the_object_stands_out_from_its_ground() -> None:
    """In the mean: clutter and light may hide it on some image."""
    contrasts = []
    for index in range(3 * len(CLASSES)):
        image, cover = draw_and_cover(7, index)
        inside, outside = image[cover > 0.9].astype(float), image[cover < 0.1].astype(float)
        contrasts.append(np.abs(inside - outside.mean(0)).mean() / np.abs(outside - outside.mean(0)).mean())
    assert np.mean(contrasts) > 1.5
