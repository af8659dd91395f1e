"""Heads are whole units of the layers before and behind attention, and attention knows how many are left."""

from typing import Any

import torch
from torch import nn

from vitc.compress.slim import whole_heads as heads
from vitc.compress.slim.cuts import narrowed
from vitc.models.timm_ready import timm


def attention() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"attn": timm.layers.Attention(12, num_heads=3, qkv_bias=True)}).eval()


def test_heads_that_are_never_read_can_go() -> None:
    model, x = attention(), torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.get_parameter("attn.proj.weight")[:, 4:8] = 0
    (group,) = heads.find(model)
    assert (group.units, group.kind) == (3, heads.HEADS)
    narrow: Any = narrowed(model, [group], {group.name: torch.tensor([True, False, True])}).get_submodule("attn")
    assert (narrow.num_heads, narrow.attn_dim, narrow.get_submodule("qkv").out_features) == (2, 8, 24)
    with torch.no_grad():
        torch.testing.assert_close(narrow(x), model["attn"](x))


def test_a_stand_in_has_the_widths_and_passes_masks_over() -> None:
    draft = attention()
    heads.replace(draft)
    found = draft["attn"]
    assert isinstance(found, heads.StandIn)
    assert found(torch.zeros(2, 5, 12), attn_mask=torch.zeros(5, 5)).shape == (2, 5, 12)
    assert heads.norm_of(found, "attn") == []


def test_one_head_is_no_group_and_other_layers_are_no_attention() -> None:
    single = nn.ModuleDict({"attn": timm.layers.Attention(12, num_heads=1), "mlp": nn.Linear(3, 3)})
    assert heads.find(single) == []
    assert [name for name, _ in heads.attentions(single)] == ["attn"]
