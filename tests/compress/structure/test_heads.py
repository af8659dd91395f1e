"""Parts of an attention get linears of their own and nothing changes; what does not come as whole heads is left."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitc.compress.graph import layer
from vitc.compress.structure.heads import Heads, separate
from vitc.models.program import trace
from vitc.models.timm_ready import timm

SIZE = (3, 4, 16)


class Attention(nn.Module):
    """Two heads of eight dimensions over the twelve tokens of an image, with some freedom in how."""

    def __init__(self, order: str = "heads", seen: str = "", *, norm: bool = False, tokens: int = 12) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.norm = nn.LayerNorm(8) if norm else nn.Identity()
        self.proj, self.order, self.seen, self.tokens = nn.Linear(16, 16), order, seen, tokens

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(1, 2).reshape(-1, self.tokens, 16)
        both = self.qkv(x)
        if self.order == "heads":
            q, k, v = both.reshape(x.shape[0], self.tokens, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        elif self.order == "interleaved":
            q, k, v = both.reshape(x.shape[0], self.tokens, 8, 2, 3).permute(4, 0, 3, 1, 2).unbind(0)
        else:  # no head has all of a token
            q, k, v = both.reshape(x.shape[0], 2, self.tokens // 2, 3, 16).permute(3, 0, 1, 2, 4).unbind(0)
        y = functional.scaled_dot_product_attention(self.norm(q), k, v).transpose(1, 2)
        out: Tensor = self.proj(y.reshape(x.shape[0], self.tokens, 16))
        if self.seen:
            out = out + {"keys": k, "result": y}[self.seen].mean()
        return out.reshape(images.shape[0], -1)


def separated(module: nn.Module, size: tuple[int, ...] = SIZE) -> tuple[list[Heads], float]:
    """What is found, and how far the answers moved."""
    program = trace(module.eval(), size)
    x = torch.randn(3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = program(x)
        found = separate(program)
        return found, float((program(x) - before).abs().max() / before.abs().max())


@pytest.mark.parametrize("order", ["heads", "interleaved"])
def test_a_fused_projection_becomes_three_and_answers_stay(order: str) -> None:
    torch.manual_seed(0)
    (heads,), moved = separated(Attention(order=order))
    assert moved < 1e-6
    assert heads.count == 2
    parts = [heads.query, heads.key, heads.value]
    assert [layer(part.site) for part in parts if part] == [f"qkv.{role}" for role in ("query", "key", "value")]
    assert heads.output is not None
    assert layer(heads.output.site) == "proj"


def test_linears_of_their_own_keep_their_names() -> None:
    class Apart(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v, self.proj = (nn.Linear(16, 16) for _ in range(4))

        def forward(self, images: Tensor) -> Tensor:
            x = images.flatten(1, 2)
            q, k, v = (part(x).reshape(x.shape[0], 12, 2, 8).transpose(1, 2) for part in (self.q, self.k, self.v))
            y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape[0], 12, 16)
            out: Tensor = self.proj(y)
            return out.flatten(1)

    (heads,), moved = separated(Apart())
    assert moved < 1e-6
    assert [layer(part.site) for part in (heads.query, heads.key, heads.value) if part] == ["q", "k", "v"]


def test_what_is_normalized_on_the_way_is_no_part_but_the_others_are() -> None:
    (heads,), moved = separated(Attention(norm=True))
    assert moved < 1e-6
    assert heads.query is None
    assert heads.key is not None
    assert heads.value is not None


def test_heads_of_mixed_tokens_are_left_alone() -> None:
    (heads,), moved = separated(Attention(order="mixed"))
    assert moved == 0
    assert (heads.query, heads.key, heads.value) == (None, None, None)


@pytest.mark.parametrize("seen", ["keys", "result"])
def test_what_others_see_is_left_alone(seen: str) -> None:
    (heads,), moved = separated(Attention(seen=seen))
    assert moved == 0
    if seen == "keys":
        assert heads.value is None
    else:
        assert heads.output is None


def test_windows_of_an_image_have_heads_too() -> None:
    torch.manual_seed(0)
    (heads,), moved = separated(Attention(tokens=6))
    assert moved < 1e-6
    assert None not in (heads.query, heads.key, heads.value, heads.output)


def test_the_attentions_of_a_transformer_come_in_order() -> None:
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 3, "num_classes": 7}
    found, moved = separated(timm.create_model("vit_tiny_patch16_224", **small), (3, 32, 32))
    assert moved < 1e-5
    assert [layer(heads.output.site) for heads in found if heads.output] == [f"blocks.{n}.attn.proj" for n in range(3)]
