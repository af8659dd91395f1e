"""What stands in a record of a model, of images and of artifacts."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from vitc import facts
from vitc.journal import digest
from vitc.models import load
from vitc.models.backbone import Backbone
from vitc.models.data import Image, ImageSet
from vitc.models.decode import Pixels
from vitc.reports.record import Artifact


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load("demo")


def test_a_model_is_told_by_its_weights_and_its_preprocessing(backbone: Backbone) -> None:
    found = facts.model(backbone)
    assert (found.name, found.weights_sha256, found.input) == ("demo", backbone.weights_sha256, (3, 64, 64))
    assert found.preprocessing_sha256 == digest(backbone.preprocessing.to_json())
    other = dataclasses.replace(backbone.preprocessing, crop_pct=0.5)
    assert facts.model(dataclasses.replace(backbone, preprocessing=other)).preprocessing_sha256 != (
        found.preprocessing_sha256
    )


def test_data_counts_what_could_be_read(backbone: Backbone) -> None:
    images = ImageSet("photos", tuple(Image(name=f"{n}.jpg", path=Path(f"{n}.jpg"), label=None) for n in range(3)))
    pixels = Pixels(np.zeros((2, 3, 4, 4), dtype=np.uint8), None, ("0.jpg", "1.jpg"), (), backbone.preprocessing)
    found = facts.data(images, pixels)
    assert found is not None
    assert (found.source, found.images) == ("photos", 2)
    assert facts.data(images, None) is None


def test_an_artifact_of_fewer_bits_is_modelled_to_take_less() -> None:
    row = Artifact("int8/onnx", "onnx", "int8", "onnx/model.onnx", 1000, "0" * 64, parity=None, audit=None)
    small, large = (facts.modelled(row, {bits: 10**9}).modelled for bits in ("w8a8", "w32a32"))
    assert small is not None
    assert large is not None
    assert small.arithmetic_mj < large.arithmetic_mj
    assert small.memory_mj == large.memory_mj
