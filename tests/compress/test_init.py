import inspect
from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import Tensor, nn

from vitc.compress import KINDS, TECHNIQUES, Row
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.cost import cost
from vitc.models.program import export_program
from vitc.models.timm_ready import timm

SIZE = (3, 32, 32)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 7}
    module: nn.Module = timm.create_model("vit_tiny_patch16_224", **small).eval()
    return Backbone("tiny", module, Preprocessing(SIZE), 7, (), "abc")


@pytest.fixture(scope="module")
def batches() -> list[Tensor]:
    return list(torch.randn(6, *SIZE, generator=torch.Generator().manual_seed(0)).split(2))


def test_rows_are_named_once_and_stand_in_order() -> None:
    names = [row.name for row in TECHNIQUES]
    assert len(set(names)) == len(names)
    order = [KINDS.index(row.kind) for row in TECHNIQUES]
    assert order == sorted(order)


@pytest.mark.parametrize("row", TECHNIQUES, ids=lambda row: row.name)
def test_a_technique_is_frozen_and_needs_no_arguments(row: Row) -> None:
    technique = row.technique()
    with pytest.raises(FrozenInstanceError):
        technique.anything = 1  # type: ignore[attr-defined]
    assert technique == row.technique()
    assert hash(technique) == hash(row.technique())
    wanted = [p.name for p in inspect.signature(technique.apply).parameters.values() if p.default is p.empty]
    assert wanted == (["backbone", "batches"] if row.images else ["backbone"])


@pytest.mark.parametrize("row", TECHNIQUES, ids=lambda row: row.name)
def test_a_technique_keeps_the_contract(row: Row, backbone: Backbone, batches: list[Tensor]) -> None:
    before, images = backbone.fingerprint(), batches[0]
    with torch.no_grad():
        answer = backbone.module(images)
        made = row.technique().apply(backbone, batches)
        assert backbone.fingerprint() == before, "the backbone that was given changed"
        assert torch.equal(backbone.module(images), answer)
        assert made.module(images).shape == answer.shape
    travels = ("name", "preprocessing", "outputs", "classes", "weights_sha256")
    assert all(getattr(made, field) == getattr(backbone, field) for field in travels)
    assert cost(made.module, SIZE).macs <= cost(backbone.module, SIZE).macs
    again = export_program(made.module, SIZE).module()
    with torch.no_grad():
        assert torch.equal(again(torch.cat(batches)[:5]), made.module(torch.cat(batches)[:5]))
