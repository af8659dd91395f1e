"""A transformer's blocks, run so that some of them hand on fewer tokens than they got.

timm calls `model.blocks(x)`; this module stands there and runs the very same blocks, under their own names. Between the
attention and the MLP of a block a reduction may take tokens away, as in ToMe (arXiv 2210.09461) and EViT
(arXiv 2202.07800). Tokens that stand for several patches count as such in every later attention: the logarithms of
their sizes are added to the scores, which is what copies of them would do.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn


class Reduction(Protocol):
    """Takes tokens away; a module."""

    def __call__(self, x: Tensor, seen: Tensor, sizes: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The tokens [B, N, C] that stay and their sizes [B, N]; `seen` is what the block's attention read.

        Sizes are None as long as every token stands for itself alone.
        """


class Blocks(nn.Module):
    """Blocks with reductions in some of them, by the block's number."""

    def __init__(self, blocks: nn.Sequential, reductions: Mapping[int, nn.Module]) -> None:
        super().__init__()
        self.depth = len(blocks)
        for name, block in blocks.named_children():
            self.add_module(name, block)
        self.reductions = nn.ModuleDict({str(index): module for index, module in reductions.items()})

    def forward(self, x: Tensor) -> Tensor:
        """The last block's tokens."""
        return self.run(x)[0]

    def run(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The last block's tokens, and their sizes."""
        sizes: Tensor | None = None
        mask: Tensor | None = None
        for name in map(str, range(self.depth)):
            block: Any = self.get_submodule(name)
            seen = block.norm1(x)
            x = x + block.drop_path1(block.ls1(block.attn(seen, attn_mask=mask)))
            if name in self.reductions:
                x, sizes = self.reductions[name](x, seen, sizes)
                mask = None if sizes is None else sizes.log()[:, None, None]
            x = x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))
        return x, sizes


class AveragedBlocks(Blocks):
    """Blocks whose tokens will be averaged, all but the first `skip`; weighted by size, so that patches count alike.

    The model's last norm comes before that, so it is done here.
    """

    def __init__(self, blocks: nn.Sequential, reductions: Mapping[int, nn.Module], norm: nn.Module, skip: int) -> None:
        super().__init__(blocks, reductions)
        self.norm = norm
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """The last block's tokens, normalized and weighted."""
        x, sizes = self.run(x)
        x = self.norm(x)
        return x if sizes is None else x * (sizes / sizes[:, self.skip :].mean(1, keepdim=True))[..., None]
