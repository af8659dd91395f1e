"""Real weights and real photographs, where they are: what the demo cannot show."""

from pathlib import Path

import numpy as np
import pytest

from vitc import models
from vitc.compress.quantize import Quantize
from vitc.export import to_onnx
from vitc.models import data, decode
from vitc.models.backbone import Backbone
from vitc.models.decode import Pixels
from vitc.runtimes import accuracy, eager, ort
from vitc.runtimes.audit import audit

PHOTOS = 64


@pytest.fixture(scope="module")
def deit(reference: Path) -> Backbone:
    return models.load("deit_tiny_patch16_224", reference / "deit_tiny_patch16_224.safetensors")


def decoded(deit: Backbone, folder: Path, into: Path, count: int) -> Pixels:
    images = data.find(str(folder), data.Classes(deit.outputs), labelled=True)
    return decode.decode(data.take(images, count, 0), deit.preprocessing, into, 1, lambda _done: None)


def test_deit_tiny_keeps_its_answers_in_int8(deit: Backbone, reference: Path, tmp_path: Path) -> None:
    photos = decoded(deit, reference / "imagenet-val1300", tmp_path / "scored", PHOTOS)
    samples = decoded(deit, reference / "imagenet-calib512", tmp_path / "calibration", 32)
    assert photos.labels is not None
    quantized = Quantize().apply(deit, samples.batches(8))
    artifact = to_onnx.write(quantized, tmp_path / "onnx")
    float_answers = accuracy.predict(lambda images: eager.run(deit.module, images), photos.batches(16))
    with ort.OrtSession(artifact.path, 1) as session:
        int8_answers = accuracy.predict(session.run, photos.batches(16))
    assert accuracy.top_k(float_answers, photos.labels, 1) > 70
    assert accuracy.top_k(int8_answers, float_answers.top5[:, 0], 1) > 90
    image = np.stack([batch.numpy()[0] for batch in photos.first(1).batches(1)])
    found = audit(ort.executed(artifact.path, image), ort.promised(artifact.path))
    assert found.promised_pct == 100
    assert found.int8_macs_pct > 84
    assert artifact.bytes < 7_300_000
