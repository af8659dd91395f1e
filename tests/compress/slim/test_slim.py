"""A slimmer backbone costs what was asked for, is made the same way every time, and goes wherever a backbone goes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vitc.compress.aids import Aids
from vitc.compress.slim import Slim
from vitc.errors import UserError
from vitc.export import to_onnx
from vitc.models import saved
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.cost import cost
from vitc.models.program import trace
from vitc.models.timm_ready import timm
from vitc.runtimes.ort import OrtSession

SIZE = (3, 32, 32)
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 4, "num_classes": 7}


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    module: nn.Module = timm.create_model("vit_tiny_patch16_224", **VIT)
    return Backbone("tiny", module.eval(), Preprocessing(SIZE), 7, (), "abc")


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(6, *SIZE, generator=torch.Generator().manual_seed(0))


def macs(one: Backbone) -> int:
    return cost(one.module, SIZE).macs


def test_half_of_the_multiply_adds_are_left_and_it_is_said(backbone: Backbone, images: torch.Tensor) -> None:
    before, aids = backbone.fingerprint(), Aids()
    narrow = Slim(macs=0.5).apply(backbone, [images], aids)
    assert macs(narrow) / macs(backbone) == pytest.approx(0.5, rel=0.02)
    assert (narrow.label, narrow.form) == ("prune-fp32", ("prune macs=0.5",))
    assert backbone.fingerprint() == before
    (note,) = aids.losses.notes
    assert "of 384 neurons" in note
    assert "of 8 heads go: 0.5" in note
    widths = [len(tensor) for name, tensor in narrow.module.state_dict().items() if name.endswith("fc1.weight")]
    assert all(width % 8 == 0 for width in widths)
    assert sum(widths) < 384


def test_the_same_images_give_the_same_bytes_in_any_batches(
    backbone: Backbone, images: torch.Tensor, tmp_path: Path
) -> None:
    for name, batches in (("a", [images]), ("b", list(images.split(4)))):
        saved.save(Slim(macs=0.6).apply(backbone, batches), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_it_is_saved_exported_and_run(backbone: Backbone, images: torch.Tensor, tmp_path: Path) -> None:
    saved.save(Slim(macs=0.4).apply(backbone, [images]), tmp_path / "model.pt2")
    narrow = saved.load(tmp_path / "model.pt2")
    with torch.no_grad():
        wanted = narrow.module(images).numpy()
    with OrtSession(to_onnx.write(narrow, tmp_path).path, 1) as session:
        np.testing.assert_allclose(session.run(images.numpy()), wanted, atol=1e-4)


def test_a_time_is_met_on_the_clock_that_is_lent(backbone: Backbone, images: torch.Tensor) -> None:
    asked = []

    def clock(one: Backbone) -> float:
        asked.append(0.3 + 0.7 * macs(one) / macs(backbone))
        return asked[-1]

    aids = Aids(clock=clock)
    narrow = Slim(latency=0.6).apply(backbone, [images], aids)
    assert 0.3 + 0.7 * macs(narrow) / macs(backbone) == pytest.approx(0.6, rel=0.03)
    assert len(asked) <= 12
    assert f"macs={macs(narrow) / macs(backbone):.4f} repeats it" in aids.losses.notes[0]


def test_what_cannot_be_is_refused_in_one_line(backbone: Backbone, images: torch.Tensor) -> None:
    quantized = replace(backbone, precision="int8")
    program = replace(backbone, module=trace(backbone.module, SIZE))
    flat = replace(backbone, module=nn.Sequential(nn.Flatten(), nn.Linear(3072, 7)).eval())
    for one, technique, reason in (
        (quantized, Slim(macs=0.5), "is int8 already"),
        (program, Slim(macs=0.5), "starts from the model's name"),
        (backbone, Slim(macs=0.01), r"takes it down to macs=0\.\d+, no further"),
        (flat, Slim(latency=0.5), "nothing to prune"),
    ):
        with pytest.raises(UserError, match=reason) as failure:
            technique.check(one)
        assert "\n" not in str(failure.value)
    with pytest.raises(UserError, match=r"measured on an engine, and none runs here: use macs=0\.6"):
        Slim(latency=0.6).apply(backbone, [images], Aids())
