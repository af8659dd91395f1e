import pytest
import torch
from torch import nn

from vitc.errors import UserError
from vitc.models import overriding
from vitc.models.backbone import Backbone, Preprocessing


@pytest.fixture
def backbone() -> Backbone:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2)).eval()
    return Backbone("tiny", module, Preprocessing(input_size=(3, 4, 4)), 2, (), "")


def test_fields_are_replaced_and_others_kept() -> None:
    changed = overriding.apply(Preprocessing(), {"mean": [0, 0, 0], "interpolation": "bilinear"})
    assert changed == Preprocessing(mean=(0.0, 0.0, 0.0), interpolation="bilinear")


@pytest.mark.parametrize("preprocessing", [Preprocessing(), Preprocessing((3, 64, 48), 1.0, "squash", "nearest")])
def test_its_json_gives_it_back(preprocessing: Preprocessing) -> None:
    assert overriding.apply(Preprocessing(), preprocessing.to_json()) == preprocessing


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("size", 3, "input_size, crop_pct, crop_mode, interpolation, mean, std"),
        ("crop_pct", 0, "above 0"),
        ("crop_pct", "all", "above 0"),
        ("crop_mode", "middle", "center | squash | border"),
        ("interpolation", ["bicubic"], "bicubic | bilinear"),
        ("mean", 0.5, "a channel"),
        ("mean", [0.5, 0.5], "1 or 3 numbers"),
        ("std", [0.5, 0.5, 0], "above 0"),
        ("input_size", [224, 224], "channels, height, width"),
        ("input_size", [3, 224, 0], "channels, height, width"),
        ("input_size", [3, 224, True], "channels, height, width"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_allowed(key: str, value: object, allowed: str) -> None:
    with pytest.raises(UserError) as caught:
        overriding.apply(Preprocessing(), {key: value})
    assert key in str(caught.value)
    assert allowed in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_input_size_must_suit_the_module(backbone: Backbone) -> None:
    with pytest.raises(UserError, match="does not take images of 3x8x8: leave input_size at 3x4x4"):
        overriding.overridden(backbone, {"input_size": [3, 8, 8]})


def test_the_given_backbone_stays_as_it_is(backbone: Backbone) -> None:
    changed = overriding.overridden(backbone, {"input_size": [3, 2, 8]})
    assert changed.preprocessing.input_size == (3, 2, 8)
    assert backbone.preprocessing.input_size == (3, 4, 4)
    assert changed.module(torch.zeros(1, 3, 2, 8)).shape == (1, 2)
