"""Branches are what is computed from the stream and added to it, in a layer of its own, for nobody else."""

import pytest
import torch
from torch import Tensor, nn

from vitc.compress.structure.branches import Branch, find_blocks, find_branches
from vitc.models.program import trace
from vitc.models.timm_ready import timm

SIZE = (3, 4, 4)


class Stream(nn.Module):
    """A stream with one perceptron beside it, and some freedom in how it comes back."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))
        self.head, self.how = nn.Linear(48, 5), how

    def forward(self, images: Tensor) -> Tensor:
        x = images * 2
        y: Tensor = self.one(images if self.how == "of another" else x)
        if self.how == "swapped":
            x = y + x
        elif self.how == "in place":
            x += y
        elif self.how == "widened":
            x = x[:, :1] + y
        elif self.how == "no layer":
            x = x + x.tanh()
        else:
            x = x + y
        answer: Tensor = self.head(x.flatten(1))
        return answer + y.mean() if self.how == "seen" else answer


def found(how: str) -> list[Branch]:
    return find_branches(trace(Stream(how).eval(), SIZE))


@pytest.mark.parametrize("how", ["plain", "swapped"])
def test_a_perceptron_beside_the_stream_is_a_branch(how: str) -> None:
    (branch,) = found(how)
    assert (branch.name, branch.attends, branch.axis) == ("one", False, -1)
    assert branch.add.args[branch.term] is branch.stream
    assert branch.given is branch.inside[-1]
    assert len(branch.inside) == 3


@pytest.mark.parametrize("how", ["seen", "in place", "of another", "widened", "no layer"])
def test_what_is_no_branch(how: str) -> None:
    assert not found(how)


def test_the_branches_of_a_transformer_alternate() -> None:
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 7}
    program = trace(timm.create_model("vit_tiny_patch16_224", **small).eval(), (3, 32, 32))
    branches = find_branches(program)
    names = ["blocks.0.attn", "blocks.0.mlp", "blocks.1.attn", "blocks.1.mlp"]
    assert [branch.name for branch in branches] == names
    assert [branch.attends for branch in branches] == [True, False, True, False]
    assert [tuple(branch.name for branch in block) for block in find_blocks(program)] == [
        ("blocks.0.attn", "blocks.0.mlp"),
        ("blocks.1.attn", "blocks.1.mlp"),
    ]


def test_convolutions_have_branches_of_channels() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

        def forward(self, images: Tensor) -> Tensor:
            y: Tensor = self.second(torch.relu(self.first(images)))
            return (images + y).mean((2, 3))

    (branch,) = find_branches(trace(Residual().eval(), (3, 8, 8)))
    assert (branch.name, branch.axis) == ("first", -3)


def test_of_branches_in_branches_only_the_inner_ones_count() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, images: Tensor) -> Tensor:
            x = images * 2
            y: Tensor = self.outer(x)
            z: Tensor = x + (y + self.inner(y))
            return z.flatten(1)

    assert [branch.name for branch in find_branches(trace(Nested().eval(), SIZE))] == ["inner"]
