from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vitc.errors import NotAvailable, UserError
from vitc.models import demo, demo_images
from vitc.models.weights import RANDOM


def test_its_weights_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "demo.safetensors"
    saved = demo.build().state_dict()
    save_file({name: tensor.half() for name, tensor in saved.items()}, path)
    monkeypatch.setattr(demo, "WEIGHTS", path)
    backbone = demo.load("demo")
    assert torch.equal(backbone.module.state_dict()["head.weight"], saved["head.weight"].half().float())
    assert backbone.classes == demo_images.CLASSES
    assert backbone.module(torch.zeros(2, *backbone.preprocessing.input_size)).shape == (2, backbone.outputs)
    assert not backbone.module.training


def test_without_weights_it_says_how_to_make_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "WEIGHTS", tmp_path / "demo.safetensors")
    with pytest.raises(NotAvailable, match="train_demo"):
        demo.load("demo")


def test_other_weights_must_fit(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="does not fit demo"):
        demo.load("demo", tmp_path / "other.safetensors")


def test_random_weights_are_the_same_each_time_and_leave_the_generator_alone() -> None:
    state = torch.random.get_rng_state()
    hashes = {demo.load("demo", RANDOM).weights_sha256 for _ in range(2)}
    assert len(hashes) == 1
    assert torch.equal(torch.random.get_rng_state(), state)
