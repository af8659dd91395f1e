"""Keep the tokens that the class token attends to, and fuse the rest into one (EViT, arXiv 2202.07800).

The attention of the class token is worked out anew beside the block's own, which is left in one piece. It costs next to
nothing: with q the class token's query, q . (W y + b) for every token y is (W' q) . y, and q . b is the same for all
tokens, which softmax does not see. The paper trains after that; here nothing is trained.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UserError
from ...models.backbone import Backbone
from .hosts import Host
from .keys import part
from .matching import take
from .reduce import Reduce


@dataclass(frozen=True)
class Drop(Reduce):
    """How many tokens are fused into one where."""

    def host(self, backbone: Backbone) -> Host:
        """The backbone, refused if it has no class token whose attention can be worked out."""
        found = super().host(backbone)
        if not found.module.has_class_token:
            raise UserError(f"{backbone.name} has no class token to say which tokens matter: merge them instead")
        if any(not isinstance(block.attn.k_norm, nn.Identity) for block in found.blocks):
            raise UserError(
                f"{backbone.name} normalizes its keys, and attention is not linear in them: merge tokens instead"
            )
        return found

    def reduction(self, found: Host, index: int, count: int) -> nn.Module:
        """What fuses them."""
        return Dropping(found.blocks[index].attn, found.prefix, count)

    def most(self, found: Host, tokens: int) -> int:
        """All but the prefix and the one that they become."""
        return tokens - found.prefix - 1

    def macs(self, found: Host, index: int, tokens: int, count: int) -> int:
        """Of the class token's attention, and the average."""
        attention = found.blocks[index].attn
        query = 2 * attention.num_heads * attention.head_dim
        return int(found.width * (query + tokens * attention.num_heads + count + 1))


class Dropping(nn.Module):
    """Fuses `count + 1` tokens into one."""

    def __init__(self, attention: Any, prefix: int, count: int) -> None:
        super().__init__()
        keys = part(attention, 1).weight.data
        self.query = part(attention, 0)
        self.keys = nn.Parameter(keys.unflatten(0, (attention.num_heads, -1)).clone())
        self.scale = attention.head_dim**-0.5
        self.prefix = prefix
        self.count = count

    def forward(self, x: Tensor, seen: Tensor, _: Tensor | None) -> tuple[Tensor, None]:
        """The prefix, the tokens that stay, and the one that the others became."""
        attended = self.attention(seen)[:, self.prefix :]
        order = attended.topk(attended.shape[1]).indices
        stay = attended.shape[1] - self.count - 1
        kept, gone = order[:, :stay] + self.prefix, order[:, stay:] + self.prefix
        weights = attended.gather(1, order[:, stay:])
        fused = (weights / weights.sum(1, keepdim=True))[:, None] @ take(x, gone)
        return torch.cat([x[:, : self.prefix], take(x, kept), fused], 1), None

    def attention(self, seen: Tensor) -> Tensor:
        """How much the class token attends to each token, averaged over the heads: [B, N]."""
        query = self.query(seen[:, :1]).unflatten(-1, (len(self.keys), -1)).transpose(1, 2) * self.scale
        looked_for = (query @ self.keys).squeeze(2)
        attended: Tensor = (looked_for @ seen.transpose(1, 2)).softmax(-1).mean(1)
        return attended
