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


def test_a_fingerprint_tells_weights_precision_form_and_preprocessing_apart() -> None:
    one = backbone()
    other = backbone()
    with torch.no_grad():
        other.module.get_parameter("weight")[0, 0] += 1e-6
    prints = {
        one.fingerprint(),
        other.fingerprint(),
        replace(one, precision="int8").fingerprint(),
        replace(one, form=("merge 8",)).fingerprint(),
        replace(one, preprocessing=Preprocessing(crop_pct=0.9)).fingerprint(),
    }
    assert len(prints) == 5


def test_a_label_tells_what_was_taken_away() -> None:
    assert backbone().label == "fp32"
    assert replace(backbone(), precision="int8", form=("merge 8:few", "prune neurons=0.2")).label == "merge-prune-int8"


def test_preprocessing_is_plain_values_in_json() -> None:
    values = Preprocessing().to_json()
    assert values["input_size"] == [3, 224, 224]
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    assert Preprocessing(**fields) == Preprocessing()
