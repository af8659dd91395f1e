"""What attention would know of its tokens, read off its weights without running it."""

from copy import deepcopy
from typing import Any

from torch import Tensor, nn


def part(attention: Any, index: int) -> nn.Linear:
    """The linear of its queries (0), keys (1) or values (2), all heads one after the other."""
    packed: nn.Linear = attention.qkv
    weight = packed.weight.detach().chunk(3)[index]
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=packed.bias is not None)
    layer.weight.data = weight.clone()
    if packed.bias is not None:
        layer.bias.data = packed.bias.detach().chunk(3)[index].clone()
    return layer


def mean_keys(attention: Any) -> nn.Module:
    """From what the attention reads to its keys, averaged over the heads: one linear, where keys are not normalized."""
    keys = part(attention, 1)
    if not isinstance(attention.k_norm, nn.Identity):
        return nn.Sequential(keys, nn.Unflatten(-1, (-1, attention.head_dim)), deepcopy(attention.k_norm), _Mean())
    mean = nn.Linear(keys.in_features, attention.head_dim, bias=attention.qkv.bias is not None)
    mean.weight.data = keys.weight.data.unflatten(0, (-1, attention.head_dim)).mean(0)
    if attention.qkv.bias is not None:
        mean.bias.data = keys.bias.data.unflatten(0, (-1, attention.head_dim)).mean(0)
    return mean


class _Mean(nn.Module):
    """Over the heads, the last axis but one."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(-2)
