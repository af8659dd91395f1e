import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vitc.errors import NotAvailable, UserError
from vitc.models import timm_models
from vitc.models.timm_ready import timm
from vitc.models.weights import RANDOM

NAME = "levit_128s"
KWARGS = {"num_classes": 3, "img_size": 64, "embed_dim": 32, "depth": 2, "num_heads": 2}


@pytest.fixture(scope="module")
def small() -> nn.Module:
    """A vision transformer small enough for a test."""
    torch.manual_seed(0)
    module: nn.Module = timm.create_model("vit_tiny_patch16_224", **KWARGS).eval()
    return module


def write(path: Path, module: nn.Module, **metadata: str) -> Path:
    save_file({name: tensor.half() for name, tensor in module.state_dict().items()}, path, metadata)
    return path


def test_a_file_says_how_to_build_its_model(small: nn.Module, tmp_path: Path) -> None:
    facts = {"timm": "vit_tiny_patch16_224", "kwargs": json.dumps(KWARGS), "classes": "a,b,c", "crop_pct": "1.0"}
    backbone = timm_models.load("vit_tiny_patch16_224", write(tmp_path / "w.safetensors", small, **facts))
    assert backbone.classes == ("a", "b", "c")
    assert backbone.outputs == 3
    assert backbone.preprocessing.input_size == (3, 64, 64)
    assert backbone.preprocessing.crop_pct == 1.0
    assert backbone.preprocessing.mean == timm_models.preprocessing(small).mean
    images = torch.randn(2, 3, 64, 64)
    assert torch.allclose(backbone.module(images), small(images), atol=1e-2)


def test_a_file_of_another_model_is_refused(small: nn.Module, tmp_path: Path) -> None:
    path = write(tmp_path / "w.safetensors", small, timm="vit_tiny_patch16_224")
    with pytest.raises(UserError, match="weights of vit_tiny_patch16_224, not of levit_128s"):
        timm_models.load(NAME, path)


def test_class_names_must_count_as_many_as_the_classifier(small: nn.Module, tmp_path: Path) -> None:
    path = write(tmp_path / "w.safetensors", small, kwargs=json.dumps(KWARGS), classes="a,b")
    with pytest.raises(UserError, match="2 classes but tell 3 apart"):
        timm_models.load("vit_tiny_patch16_224", path)


def test_arguments_that_timm_does_not_know_are_told(small: nn.Module, tmp_path: Path) -> None:
    path = write(tmp_path / "w.safetensors", small, kwargs='{"no_such": 1}')
    with pytest.raises(UserError, match="timm cannot build vit_tiny_patch16_224 with"):
        timm_models.load("vit_tiny_patch16_224", path)


def test_the_classifier_in_a_checkpoint_tells_the_classes(tmp_path: Path) -> None:
    module = timm.create_model(NAME, num_classes=5)
    torch.save({"model": module.state_dict()}, tmp_path / "w.pth")
    backbone = timm_models.load(NAME, tmp_path / "w.pth")
    assert backbone.outputs == 5
    assert backbone.classes == ()


def test_weights_that_do_not_fit_name_keys_and_models(tmp_path: Path) -> None:
    module = timm.create_model("levit_128", num_classes=5)
    torch.save(module.state_dict(), tmp_path / "w.pth")
    with pytest.raises(
        UserError, match=r"does not fit levit_128s: .*(missing|unexpected).*; it fits levit_128"
    ) as caught:
        timm_models.load(NAME, tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_answered_with_the_closest() -> None:
    with pytest.raises(UserError, match="levit_128s"):
        timm_models.load("levit_128x")


def test_an_unknown_tag_is_told() -> None:
    with pytest.raises(UserError, match="levit_128s has no weights called 'no_such_tag': it has fb_dist_in1k"):
        timm_models.load("levit_128s.no_such_tag")


def test_without_pretrained_weights_a_file_is_asked_for() -> None:
    without = next(name for name in timm.list_models("vit_*") if not timm.models.is_model_pretrained(name))
    with pytest.raises(UserError, match=r"no pretrained weights for .*: give --weights FILE"):
        timm_models.load(without)


def test_without_a_network_a_file_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, **kwargs: object) -> None:
        raise FileNotFoundError(name)

    monkeypatch.setattr(timm, "create_model", fail)
    monkeypatch.setattr(timm_models, "_reachable", lambda: False)
    with pytest.raises(NotAvailable, match="--weights FILE") as caught:
        timm_models.load(NAME)
    assert caught.value.exit_code == 3


def test_random_weights_are_the_same_each_time() -> None:
    first, second = (timm_models.load(NAME, RANDOM) for _ in range(2))
    assert first.weights_sha256 == second.weights_sha256
    assert len(first.classes) == first.outputs == 1000
    assert first.classes[0].startswith("tench")
    assert not first.module.training


@pytest.mark.parametrize("name", ["efficientformerv2_s0", "mobilevit_xxs", "swin_tiny_patch4_window7_224"])
def test_real_files_load_as_their_metadata_says(name: str, reference: Path) -> None:
    backbone = timm_models.load(name, reference / "zoo" / f"{name}.safetensors")
    assert backbone.classes[0] == "airplane"
    assert backbone.preprocessing.input_size == (3, 64, 64)
