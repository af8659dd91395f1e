"""Merge the tokens that are most alike (ToMe, arXiv 2210.09461); nothing is trained.

Alike are tokens whose keys, averaged over the heads, point the same way. The average is a linear of what the attention
reads, so the attention itself is left in one piece. That linear may be rounded like any other; nothing else in the
merging has weights, and it stays float.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...models.backbone import Backbone
from ...models.data import Batches
from ..losses import Losses
from .hosts import Host, host
from .keys import mean_keys
from .matching import match, merge, most
from .schedule import Amounts, Body, parse


@dataclass(frozen=True)
class Merge:
    """How many tokens are merged where, in the words of [schedule](schedule.py)."""

    schedule: str = "75%"

    def __post_init__(self) -> None:
        """Refuse words that mean nothing."""
        parse(self.schedule)

    def check(self, backbone: Backbone) -> None:
        """Refuse a model whose tokens cannot be merged, and a schedule that it cannot follow."""
        self.amounts(host(backbone))

    def apply(
        self,
        backbone: Backbone,
        batches: Batches = (),  # noqa: ARG002  (every technique is given some)
        losses: Losses | None = None,
    ) -> Backbone:
        """The backbone with merging in some of its blocks; the one given stays as it is."""
        found = host(backbone)
        amounts = self.amounts(found)
        merging = {
            index: Merging(found.blocks[index].attn, found.prefix, count)
            for index, count in enumerate(amounts)
            if count
        }
        if losses:
            losses.notes.append(f"of {found.tokens} tokens, blocks merge {', '.join(map(str, amounts))}")
        return found.reduced(merging, f"merge {self.schedule}")

    def amounts(self, found: Host) -> Amounts:
        """How many tokens each block merges."""
        return parse(self.schedule).amounts(self.body(found))

    def body(self, found: Host) -> Body:
        """What a schedule is told of the model and of this."""

        def macs(index: int, tokens: int, count: int) -> int:
            attention, sources = found.blocks[index].attn, most(tokens, found.prefix)
            others = tokens - found.prefix - sources
            keys = sum(weight.numel() for weight in mean_keys(attention).parameters() if weight.dim() == 2)
            return int(tokens * keys + sources * others * attention.head_dim + others * count * found.width)

        return found.body(lambda tokens: most(tokens, found.prefix), macs)


class Merging(nn.Module):
    """Merges `count` tokens, none of the first `prefix`."""

    def __init__(self, attention: nn.Module, prefix: int, count: int) -> None:
        super().__init__()
        self.keys = mean_keys(attention)
        self.prefix = prefix
        self.count = count
        self.register_buffer("counted", torch.tensor(count))  # the backbone's fingerprint is made of its state

    def forward(self, x: Tensor, seen: Tensor, sizes: Tensor | None) -> tuple[Tensor, Tensor]:
        """The tokens that stay, and their sizes."""
        sizes = torch.ones_like(x[..., 0]) if sizes is None else sizes
        return merge(x, sizes, match(self.keys(seen), self.prefix, self.count), self.prefix)
