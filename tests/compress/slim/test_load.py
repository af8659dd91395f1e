"""What the widths tell of a narrowed model's multiply-adds is what counting them says."""

import pytest
import torch

from vitc.compress.slim.cuts import narrowed
from vitc.compress.slim.groups import find_groups
from vitc.compress.slim.load import load_of
from vitc.models.cost import cost
from vitc.models.timm_ready import timm

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 5}
CONVNEXT = {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32), "num_classes": 5}


@pytest.mark.parametrize(("name", "words"), [("vit_tiny_patch16_224", VIT), ("convnext_atto", CONVNEXT)])
def test_the_share_is_the_one_that_counting_finds(name: str, words: dict[str, object]) -> None:
    module, size = timm.create_model(name, **words).eval(), (3, 32, 32)
    groups, load = find_groups(module, size), load_of(module, size)
    kept = {group.name: torch.arange(group.units) % 3 != 1 for group in groups}
    whole, narrow = (cost(one, size).macs for one in (module, narrowed(module, groups, kept)))
    assert load.total == whole
    assert load.share(groups, kept) == pytest.approx(narrow / whole, abs=1e-6)
    assert load.share(groups, {group.name: group.whole for group in groups}) == 1
