from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional

from vitc.compress.attention import operands, split
from vitc.compress.draft import Draft
from vitc.compress.equalize.products import BalanceProducts, factors, find_heads
from vitc.compress.graph import aten
from vitc.compress.observe import observe
from vitc.models.program import trace
from vitc.models.timm_ready import timm

SIDE = 32
SIZE = (3, SIDE, SIDE)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, *SIZE, generator=torch.Generator().manual_seed(0))


def written_out(module: nn.Module) -> Draft:
    program = trace(module.eval(), SIZE)
    split(program)
    return Draft(program, {}, "asymmetric")


def answers(program: GraphModule, images: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = program(images)
    return found


def reaches(program: GraphModule, images: Tensor) -> list[Tensor]:
    """How far each channel of queries, keys and values goes, one attention after the other."""
    parts = [operand for operand in operands(program) if operand.role != "softmax"]
    seen = observe(program, {one.node: -2 if one.role == "key" else -1 for one in parts}, [images])
    return [torch.maximum(-seen[one.node].low, seen[one.node].high) for one in parts]


MODELS: dict[str, tuple[str, dict[str, Any], int]] = {
    "vit": ("vit_tiny_patch16_224", {"img_size": SIDE, "depth": 2, "embed_dim": 24, "num_heads": 3}, 2),
    "swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": SIDE, "window_size": 4, "embed_dim": 12, "depths": (2, 1), "num_heads": (2, 2)},
        3,
    ),
    "three linears, factors behind the product": ("mobilevit_xxs", {}, 9),
    # A hardswish stands between the values and what reads them, and a batch norm before.
    "levit": ("levit_128s", {"img_size": SIDE}, 0),
    "a bias that is put together as the program runs": (
        "beit_base_patch16_224",
        {"img_size": SIDE, "depth": 1, "embed_dim": 24, "num_heads": 3},
        1,
    ),
}


@pytest.mark.parametrize(("name", "options", "count"), MODELS.values(), ids=MODELS.keys())
def test_the_program_answers_as_before(name: str, options: dict[str, Any], count: int, images: Tensor) -> None:
    torch.manual_seed(0)
    draft = written_out(timm.create_model(name, num_classes=5, **options))
    assert len(list(find_heads(draft.program))) == count
    before, weights = answers(draft.program, images), {n: p.clone() for n, p in draft.program.named_parameters()}
    BalanceProducts().apply(draft, [images])
    draft.program.graph.lint()
    after = answers(draft.program, images)
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5 * before.abs().max().item())
    parameters = draft.program.named_parameters()
    changed = [n for n, p in parameters if n not in weights or not torch.equal(p, weights[n])]
    assert bool(changed) == bool(count)


def test_one_range_fits_queries_keys_and_values(images: Tensor) -> None:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", img_size=SIDE, depth=1, embed_dim=24, num_heads=1)
    module.blocks[0].attn.qkv.weight.data *= torch.logspace(-0.5, 0.5, 72)[torch.randperm(72), None]
    draft = written_out(module)
    was = reaches(draft.program, images)
    BalanceProducts().apply(draft, [images])
    query, key, value = reaches(draft.program, images)
    torch.testing.assert_close(query, key, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(value, query.max().expand(24), rtol=1e-4, atol=1e-6)
    assert max(part.max() for part in was) > 3 * min(part.max() for part in was), "there was something to balance"


def test_the_scale_is_inside_the_weights(images: Tensor) -> None:
    torch.manual_seed(0)
    draft = written_out(timm.create_model(MODELS["vit"][0], **MODELS["vit"][1]))
    assert sum(node.target == aten.mul.Tensor for node in draft.program.graph.nodes) == 2
    BalanceProducts().apply(draft, [images])
    assert sum(node.target == aten.mul.Tensor for node in draft.program.graph.nodes) == 0
    assert draft.notes == ["balanced queries, keys and values of 2 attentions"]


def test_a_dead_channel_is_not_blown_up(images: Tensor) -> None:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", img_size=SIDE, depth=1, embed_dim=24, num_heads=1)
    with torch.no_grad():
        for row in (3, 30, 60):
            module.blocks[0].attn.qkv.weight[row] = 0
    draft = written_out(module)
    before = answers(draft.program, images)
    BalanceProducts().apply(draft, [images])
    torch.testing.assert_close(answers(draft.program, images), before, rtol=1e-5, atol=1e-5)


class Attention(nn.Module):
    """Attention between the rows of an image, in two heads, with something odd about it."""

    def __init__(self, odd: Callable[["Attention", Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.odd, self.project, self.output = odd, nn.Linear(SIDE, 3 * SIDE), nn.Linear(SIDE, SIDE)

    def forward(self, images: Tensor) -> Tensor:
        parts = self.project(images[:, 0]).reshape(-1, SIDE, 3, 2, SIDE // 2).permute(2, 0, 3, 1, 4)
        return self.odd(self, *parts.unbind(0)).flatten(1)


def usual(self: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    found = functional.scaled_dot_product_attention(query, key, value)
    answer: Tensor = self.output(found.transpose(1, 2).flatten(2))
    return answer


ODD: dict[str, Callable[[Attention, Tensor, Tensor, Tensor], Tensor]] = {
    "queries are seen": lambda self, q, k, v: usual(self, q, k, v) + q.mean(),
    "normalized queries": lambda self, q, k, v: usual(self, functional.normalize(q, dim=-1), k, v),
    "no linear after": lambda _, q, k, v: functional.scaled_dot_product_attention(q, k, v).transpose(1, 2),
    "an activation after": lambda self, q, k, v: usual(self, q, k, functional.gelu(v)),
    "the output runs twice": lambda self, q, k, v: self.output(usual(self, q, k, v)),
    "values are the keys": lambda self, q, k, v: usual(self, q, k, k) + v.mean(),
    "a head is missing": lambda self, q, k, v: usual(self, q, k, v.flip(1)) + 0 * k.sum(),
}


def test_the_usual_attention_is_found() -> None:
    assert len(list(find_heads(written_out(Attention(usual)).program))) == 1


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_what_is_unlike_it_is_left_alone(odd: Any, images: Tensor) -> None:
    torch.manual_seed(0)
    draft = written_out(Attention(odd))
    assert list(find_heads(draft.program)) == []


def test_masks_and_tables_may_be_added(images: Tensor) -> None:
    def masked(self: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mask = torch.linspace(-1, 1, SIDE * SIDE).view(SIDE, SIDE)
        found = functional.scaled_dot_product_attention(query, key, value, mask)
        answer: Tensor = self.output(found.transpose(1, 2).flatten(2))
        return answer

    torch.manual_seed(0)
    draft = written_out(Attention(masked))
    before = answers(draft.program, images)
    BalanceProducts().apply(draft, [images])
    assert draft.notes == ["balanced queries, keys and values of 1 attentions"]
    torch.testing.assert_close(answers(draft.program, images), before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [0.125, 1.0, 3.0])
def test_factors_leave_products_and_even_out_what_is_reached(scale: float) -> None:
    query, key, value = (torch.rand(6, dtype=torch.float64) + 0.01 for _ in range(3))
    a, b, c = factors(query, key, value, scale)
    torch.testing.assert_close(a * b, torch.full_like(a, scale))
    torch.testing.assert_close(a * query, b * key)
    torch.testing.assert_close(c * value, (a * query).max().expand(6))
