"""Stages lie where a layer's outputs are added to the stream of tokens, and are called by the layer."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitc.compress.quantize import Quantize
from vitc.compress.recover.stages import features_of, find_stages
from vitc.compress.structure import Prune
from vitc.compress.tokens import Merge
from vitc.models.backbone import Backbone
from vitc.models.program import trace

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
NAMES = [f"blocks.{block}.{layer}" for block in (0, 1) for layer in ("attn.proj", "mlp.fc2")]


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole,
        Merge("1").apply,
        lambda whole: Prune(0.5).apply(whole, [IMAGES]),
        lambda whole: Quantize(8, 8).apply(whole, [IMAGES]),
    ],
    ids=["whole", "merged", "pruned", "int8"],
)
def test_stages_have_the_same_names_whatever_was_done(
    small_vit: Callable[..., Backbone], change: Callable[[Backbone], Backbone]
) -> None:
    backbone = change(small_vit(depth=2))
    stages = find_stages(trace(backbone.module, backbone.preprocessing.input_size))
    assert list(stages) == NAMES
    assert all(stage.meta["val"].shape[2] == 32 for stage in stages.values())


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        given: Tensor = self.layer(x)
        return x + functional.gelu(given) + given


def test_maps_have_no_stages_and_without_a_last_layer_there_are_no_features() -> None:
    blocks = [nn.Conv2d(3, 8, 3), Residual(8), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    program = trace(nn.Sequential(*blocks).eval(), (3, 32, 32))
    (answer,) = program.graph.find_nodes(op="output")[0].all_input_nodes
    assert find_stages(program) == {}
    assert features_of(answer) is None
