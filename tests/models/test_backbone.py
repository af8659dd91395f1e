from dataclasses import replace
from typing import Any

import torch
from torch import nn

from vitc.models.backbone import Backbone, Preprocessing


def backbone() -> Backbone:
    torch.manual_seed(0)
    return Backbone("toy", nn.Linear(3, 2), Preprocessing(), 2, (), "")


def test_equal_backbones_have_equal_fingerprints() -> None:
    assert backbone().fingerprint() == backbone().fingerprint()


def test_a_fingerprint_tells_weights_precision_and_preprocessing_apart() -> None:
    one = backbone()
    other = backbone()
    with torch.no_grad():
        other.module.get_parameter("weight")[0, 0] += 1e-6
    prints = {
        one.fingerprint(),
        other.fingerprint(),
        replace(one, precision="int8").fingerprint(),
        replace(one, preprocessing=Preprocessing(crop_pct=0.9)).fingerprint(),
    }
    assert len(prints) == 4


def test_preprocessing_is_plain_values_in_json() -> None:
    values = Preprocessing().to_json()
    assert values["input_size"] == [3, 224, 224]
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    assert Preprocessing(**fields) == Preprocessing()
