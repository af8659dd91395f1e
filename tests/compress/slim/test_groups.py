"""The graph's groups: neurons, widths that run through a model, and heads; what cannot be cut is left out."""

import pytest
from torch import nn

from vitc.compress.slim.groups import find_groups
from vitc.errors import UserError
from vitc.models.timm_ready import timm

VIT = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 5}


def test_a_transformer_has_neurons_a_width_and_heads() -> None:
    found = find_groups(timm.create_model("vit_tiny_patch16_224", **VIT).eval(), (3, 16, 16))
    units = {group.name: (group.kind, group.units) for group in found}
    assert units["blocks.0.mlp.fc1"] == ("neurons", 96)
    assert units["blocks.1.attn.heads"] == ("heads", 3)
    assert [kind for kind, _ in units.values()].count("widths") == 1
    (width,) = (group for group in found if group.kind == "widths")
    tensors = {(cut.tensor, cut.axis) for cut in width.cuts}
    assert {("pos_embed", 2), ("cls_token", 2), ("blocks.0.attn.qkv.weight", 1), ("head.weight", 1)} <= tensors
    assert ("head.weight", 0) not in tensors
    assert not any(axis == 0 and "qkv" in name for name, axis in tensors)


def test_depthwise_convolutions_go_along_and_grouped_ones_stay() -> None:
    def net(groups: int) -> nn.Module:
        layers = (
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 8, 3, groups=groups),
            nn.ReLU(),
            nn.Conv2d(8, 4, 1),
        )
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 2)).eval()

    found = {group.name: group for group in find_groups(net(8), (3, 8, 8))}
    assert ("2.weight", 0) in {(cut.tensor, cut.axis) for cut in found["2" if "2" in found else "0"].cuts}
    assert not any(group.units == 8 for group in find_groups(net(2), (3, 8, 8)))


def test_what_the_graph_cannot_follow_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object, **__: object) -> None:
        raise TypeError("no such channel")

    monkeypatch.setattr("torch_pruning.DependencyGraph.build_dependency", lost)
    with pytest.raises(UserError, match="cannot follow the channels of this model: no such channel"):
        find_groups(nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 2)), (1, 2, 2))
