"""Merge the tokens that are most alike (ToMe, arXiv 2210.09461); nothing is trained.

Alike are tokens whose keys, averaged over the heads, point the same way. The average is a linear of what the attention
reads, so the attention itself is left in one piece. That linear may be rounded like any other; nothing else in the
merging has weights, and it stays float.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .hosts import Host
from .keys import mean_keys
from .matching import match, merge, most
from .reduce import Reduce


@dataclass(frozen=True)
class Merge(Reduce):
    """How many tokens are merged where."""

    def reduction(self, found: Host, index: int, count: int) -> nn.Module:
        """What merges them."""
        return Merging(found.blocks[index].attn, found.prefix, count)

    def most(self, found: Host, tokens: int) -> int:
        """The sources."""
        return most(tokens, found.prefix)

    def macs(self, found: Host, index: int, tokens: int, count: int) -> int:
        """Of the keys, their matching, and the averages."""
        attention, sources = found.blocks[index].attn, most(tokens, found.prefix)
        others = tokens - found.prefix - sources
        keys = sum(weight.numel() for weight in mean_keys(attention).parameters() if weight.dim() == 2)
        return int(tokens * keys + sources * others * attention.head_dim + others * count * found.width)


class Merging(nn.Module):
    """Merges `count` tokens, none of the first `prefix`."""

    def __init__(self, attention: nn.Module, prefix: int, count: int) -> None:
        super().__init__()
        self.keys = mean_keys(attention)
        self.prefix = prefix
        self.count = count

    def forward(self, x: Tensor, seen: Tensor, sizes: Tensor | None) -> tuple[Tensor, Tensor]:
        """The tokens that stay, and their sizes."""
        sizes = torch.ones_like(x[..., 0]) if sizes is None else sizes
        return merge(x, sizes, match(self.keys(seen), self.prefix, self.count), self.prefix)
