from collections.abc import Callable
from typing import Any

import pytest
import torch

from vitc.compress.tokens.keys import mean_keys, part
from vitc.models.backbone import Backbone

X = torch.randn(2, 17, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("words", [{}, {"qkv_bias": False}, {"qk_norm": True}], ids=["plain", "no bias", "normalized"])
def test_keys_are_those_of_attention(small_vit: Callable[..., Backbone], words: dict[str, bool]) -> None:
    attention: Any = small_vit(**words).module.get_submodule("blocks.1.attn")
    packed = attention.qkv(X).reshape(2, 17, 3, 2, 16)
    for index in range(3):
        torch.testing.assert_close(part(attention, index)(X), packed[:, :, index].flatten(2))
    wanted = attention.k_norm(packed[:, :, 1]).mean(2)
    torch.testing.assert_close(mean_keys(attention)(X), wanted)


def test_weights_are_copies(small_vit: Callable[..., Backbone]) -> None:
    attention: Any = small_vit().module.get_submodule("blocks.1.attn")
    before = attention.qkv.weight.clone()
    for layer in (part(attention, 0), mean_keys(attention)):
        for parameter in layer.parameters():
            parameter.data.zero_()
    torch.testing.assert_close(attention.qkv.weight, before)
