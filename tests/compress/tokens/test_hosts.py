from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from vitc.compress.tokens import Drop, Merge
from vitc.compress.tokens.hosts import host
from vitc.errors import UserError
from vitc.models import timm_models
from vitc.models.backbone import Backbone
from vitc.models.cost import cost
from vitc.models.weights import RANDOM

Build = Callable[..., Backbone]


@pytest.mark.parametrize("reduction", [Merge("3"), Merge("17,12,12,7"), Drop("3"), Drop("17,9,9,5")], ids=str)
def test_what_a_schedule_is_told_is_what_is_counted(small_vit: Build, reduction: Merge | Drop) -> None:
    backbone = small_vit()
    told: list[int] = []
    found = host(backbone)
    amounts = reduction.amounts(found)
    told.append(reduction.body(found).macs(amounts))
    assert told == [cost(reduction.apply(backbone).module, (3, 32, 32)).macs]


def test_tokens_are_counted_with_the_prefix(small_vit: Build) -> None:
    assert host(small_vit()).tokens == 17
    distilled = host(small_vit("deit_tiny_distilled_patch16_224"))
    assert (distilled.tokens, distilled.prefix) == (18, 2)


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "mobilevit_xxs", "pvt_v2_b0", "cait_xxs24_224"])
def test_hierarchical_and_other_models_are_refused(name: str) -> None:
    backbone = timm_models.load(name, RANDOM)
    with pytest.raises(UserError, match=rf"the tokens of {name} cannot be reduced: .* quantize it instead"):
        Merge().check(backbone)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"global_pool": "map", "class_token": False}, "pools them by 'map'"),
        ({"global_pool": "max"}, "allowed: token, avg"),
    ],
)
def test_other_pools_are_refused(small_vit: Build, words: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        host(small_vit(**words))


def test_blocks_of_another_form_are_refused(small_vit: Build) -> None:
    from timm.models.vision_transformer import ParallelScalingBlock

    with pytest.raises(UserError, match="its blocks are ParallelScalingBlock"):
        host(small_vit(block_fn=ParallelScalingBlock))


def test_what_is_done_already_is_refused(small_vit: Build) -> None:
    with pytest.raises(UserError, match="they are already"):
        Drop().check(Merge("2").apply(small_vit()))
    with pytest.raises(UserError, match="it is int8 already"):
        Drop().check(replace(small_vit(), precision="int8"))


def test_a_module_without_blocks_is_refused(small_vit: Build) -> None:
    with pytest.raises(UserError, match="Linear is not timm's VisionTransformer"):
        host(replace(small_vit(), module=torch.nn.Linear(2, 2)))
