"""Neurons are found where one layer alone reads another, place by place, past activations."""

import pytest
import torch
from torch import Tensor, nn

from vitc.compress.structure.pairs import find_pairs
from vitc.models.program import trace
from vitc.models.timm_ready import timm

SIZE = (3, 8, 8)


def names(module: nn.Module, size: tuple[int, int, int] = SIZE) -> list[str]:
    return [pair.name for pair in find_pairs(trace(module.eval(), size))]


class Mlp(nn.Module):
    """Two linears, and what is between them."""

    def __init__(self, *between: nn.Module, seen: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 24, bias=bias), nn.Linear(24, 5, bias=bias)
        self.between, self.seen = nn.Sequential(*between), seen

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.fc1(images)
        answer: Tensor = self.fc2(self.between(hidden))
        return (answer + hidden.mean() if self.seen else answer).flatten(1)


@pytest.mark.parametrize(
    "between",
    [
        (nn.GELU(),),
        (nn.ReLU(inplace=True),),
        (nn.Dropout(0.1), nn.SiLU(), nn.Dropout(0.1)),
        (nn.Hardswish(),),
        (nn.LeakyReLU(),),
        (),
    ],
    ids=str,
)
def test_linears_past_an_activation_are_a_pair(between: tuple[nn.Module, ...]) -> None:
    (pair,) = find_pairs(trace(Mlp(*between).eval(), SIZE))
    assert (pair.name, pair.width) == ("fc1", 24)


@pytest.mark.parametrize(
    "module",
    [Mlp(nn.Softmax(-1)), Mlp(nn.LayerNorm(24)), Mlp(nn.GELU(), seen=True), Mlp(nn.GLU(), nn.Linear(12, 24))],
    ids=["softmax", "norm", "seen", "gated"],
)
def test_what_mixes_or_shows_neurons_is_left_alone(module: nn.Module) -> None:
    assert "fc1" not in names(module)


def test_pointwise_convolutions_are_pairs_and_others_are_not() -> None:
    def convolutions(second: nn.Module, *between: nn.Module) -> list[str]:
        return names(nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), *between, second, nn.Flatten()))

    assert convolutions(nn.Conv2d(16, 4, 1)) == ["0"]
    assert convolutions(nn.Conv2d(16, 4, 1, stride=2)) == ["0"]
    assert convolutions(nn.Conv2d(16, 4, 3)) == []
    assert convolutions(nn.Conv2d(16, 4, 1, padding=1)) == []
    assert convolutions(nn.Conv2d(16, 4, 1, groups=2)) == []
    assert convolutions(nn.Linear(8, 4)) == [], "it reads columns of the image, not channels"


def test_a_layer_that_runs_twice_has_no_neurons_of_its_own() -> None:
    class Twice(Mlp):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) + super().forward(images * 2)

    assert names(Twice(nn.GELU())) == []


def test_the_perceptrons_of_a_transformer_are_its_pairs() -> None:
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 7}
    module = timm.create_model("vit_tiny_patch16_224", **small)
    pairs = find_pairs(trace(module.eval(), (3, 32, 32)))
    assert [(pair.name, pair.width) for pair in pairs] == [("blocks.0.mlp.fc1", 192), ("blocks.1.mlp.fc1", 192)]


def test_what_a_pair_shows_is_past_the_activation() -> None:
    (pair,) = find_pairs(trace(Mlp(nn.ReLU(), nn.Dropout()).eval(), SIZE))
    targets = {pair.hidden.target, *(read.target for read in pair.hidden.all_input_nodes)}
    assert torch.ops.aten.relu.default in targets
