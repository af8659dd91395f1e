import pytest
import torch

from vitc.models import timm_names
from vitc.models.timm_ready import timm


@pytest.fixture(scope="module")
def tiny() -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return dict(timm.create_model("deit_tiny_patch16_224", num_classes=7).state_dict())


def test_a_misspelt_name_is_recognised() -> None:
    assert timm_names.closest("deit_tiny_patch16_242")[0] == "deit_tiny_patch16_224"
    assert len(timm_names.closest("?")) == 3


def test_the_classifier_tells_the_classes(tiny: dict[str, torch.Tensor]) -> None:
    assert timm_names.classes_of("deit_tiny_patch16_224", tiny) == 7
    assert timm_names.classes_of("levit_128s", {"head.linear.weight": torch.zeros(5, 8)}) == 5
    assert timm_names.classes_of("deit_tiny_patch16_224", {}) is None


def test_names_that_fit_are_found_near_the_asked_one(tiny: dict[str, torch.Tensor]) -> None:
    assert "deit_tiny_patch16_224" in timm_names.fitting(tiny, "deit_small_patch16_224", "weights")


def test_names_that_fit_are_found_by_the_name_of_the_file(tiny: dict[str, torch.Tensor]) -> None:
    assert "deit_tiny_patch16_224" in timm_names.fitting(tiny, "resnet18", "deit_tiny_patch16_224")


def test_no_more_models_are_tried_than_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(timm_names, "_fits", lambda name, _: tried.append(name))
    assert timm_names.fitting({}, "deit_tiny_patch16_224", "weights") == []
    assert 3 < len(tried) == len(set(tried)) <= timm_names.TRIED
