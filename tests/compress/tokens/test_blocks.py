from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from vitc.compress.tokens.blocks import AveragedBlocks, Blocks
from vitc.models.backbone import Backbone

X = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(0))
Build = Callable[..., Backbone]


class Halving(nn.Module):
    """Leaves out every second token, and says that the others stand for both."""

    def forward(self, x: Tensor, seen: Tensor, sizes: Tensor | None) -> tuple[Tensor, Tensor]:
        assert seen.shape == x.shape
        before = torch.ones(x.shape[:2]) if sizes is None else sizes
        return x[:, ::2], before[:, ::2] * 2


def blocks_of(backbone: Backbone) -> Any:
    return backbone.module.get_submodule("blocks")


def test_without_reductions_they_are_the_blocks(small_vit: Build) -> None:
    blocks = blocks_of(small_vit())
    own = Blocks(blocks, {})
    assert torch.equal(own(X), blocks(X))
    assert list(own.state_dict()) == list(blocks.state_dict())


def test_a_size_counts_like_so_many_copies(small_vit: Build) -> None:
    blocks = blocks_of(small_vit())
    pairs = X.repeat_interleave(2, 1)
    halved, sizes = Blocks(blocks, {0: Halving()}).run(pairs)
    assert sizes is not None
    assert torch.equal(sizes, torch.full((2, 9), 2.0))
    torch.testing.assert_close(halved, blocks(pairs)[:, ::2])


def test_reductions_stand_between_attention_and_mlp(small_vit: Build) -> None:
    blocks = blocks_of(small_vit())
    first = blocks[0]
    attended = X + first.attn(first.norm1(X))
    wanted = attended[:, ::2] + first.mlp(first.norm2(attended[:, ::2]))
    torch.testing.assert_close(Blocks(blocks[:1], {0: Halving()})(X), wanted)


def test_averages_are_weighted_behind_the_norm(small_vit: Build) -> None:
    backbone = small_vit()
    norm = deepcopy(backbone.module.get_submodule("norm"))
    x, sizes = Blocks(blocks_of(backbone), {1: Halving()}).run(X)
    assert sizes is not None
    weighted = AveragedBlocks(blocks_of(backbone), {1: Halving()}, norm, 1)(X)[:, 1:].mean(1)
    wanted = (norm(x) * sizes[..., None])[:, 1:].sum(1) / sizes[:, 1:].sum(1, keepdim=True)
    torch.testing.assert_close(weighted, wanted)
