from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional

from vitc.compress.attention import (
    ATTENTION,
    PRODUCTS,
    find_products,
    is_rounded,
    leave_float,
    operands,
    ranges_of,
    scores_of,
    split,
)
from vitc.compress.ops import ROUNDING
from vitc.compress.quantize import Quantize
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.program import trace
from vitc.models.timm_ready import timm

SIZE = (3, 8, 8)


class Attention(nn.Module):
    """Attention between the rows of an image, and nothing else."""

    def __init__(self, mask: Tensor | None = None, **options: object) -> None:
        super().__init__()
        self.mask, self.options = mask, options

    def forward(self, images: Tensor) -> Tensor:
        query, key, value = images, images.flip(2), images * 2
        found = functional.scaled_dot_product_attention(query, key, value, self.mask, **self.options)  # type: ignore[arg-type]
        return found.flatten(1)


def count(program: GraphModule, *targets: Any) -> int:
    return sum(node.target in targets for node in program.graph.nodes)


@pytest.mark.parametrize(
    "module",
    [Attention(), Attention(scale=0.7), Attention(torch.linspace(-2, 2, 64).view(8, 8))],
    ids=["plain", "scaled", "mask"],
)
@pytest.mark.parametrize("batch", [1, 4])
def test_attention_written_out_answers_the_same(module: nn.Module, batch: int) -> None:
    program, images = trace(module, SIZE), torch.randn(batch, *SIZE, generator=torch.Generator().manual_seed(0))
    assert split(program) == 1
    program.graph.lint()
    assert (count(program, ATTENTION), count(program, *PRODUCTS)) == (0, 2)
    torch.testing.assert_close(program(images), module(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "module",
    [Attention(), Attention(scale=0.7), Attention(torch.linspace(-2, 2, 64).view(8, 8))],
    ids=["plain", "scaled", "mask"],
)
def test_attention_written_out_becomes_one_operator_again(module: nn.Module) -> None:
    program, images = trace(module, SIZE), torch.randn(2, *SIZE, generator=torch.Generator().manual_seed(0))
    split(program)
    leave_float(program)
    program.graph.lint()
    assert (count(program, ATTENTION), count(program, *PRODUCTS)) == (1, 0)
    torch.testing.assert_close(program(images), module(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "operators"),
    [("vit_tiny_patch16_224", 2), ("swin_tiny_patch4_window7_224", 0)],
    ids=["one operator", "written out by the model"],
)
def test_attention_that_was_rounded_is_left_float(name: str, operators: int) -> None:
    torch.manual_seed(0)
    options = {"depth": 2} if name.startswith("vit") else {"depths": (1, 1), "num_heads": (3, 3)}
    module = timm.create_model(name, img_size=32, embed_dim=24, num_classes=5, **{"num_heads": 3, **options}).eval()
    images = torch.randn(8, 3, 32, 32)
    backbone = Backbone(name, module, Preprocessing((3, 32, 32)), 5, (), "abc")
    program = Quantize(attention=True).apply(backbone, [images]).module
    assert isinstance(program, GraphModule)
    assert is_rounded(program)
    rounded, answer = count(program, *ROUNDING), program(images)
    leave_float(program)
    assert not is_rounded(program)
    assert count(program, *ROUNDING) == rounded - 8
    assert count(program, ATTENTION) == operators
    floats = module(images)
    assert not torch.equal(program(images), answer)
    assert (program(images) - floats).norm() < 0.1 * floats.norm()


@pytest.mark.parametrize(
    "module",
    [Attention(torch.tril(torch.ones(8, 8, dtype=torch.bool))), Attention(is_causal=True), Attention(enable_gqa=True)],
    ids=["truths", "causal", "grouped"],
)
def test_other_attention_stays(module: nn.Module) -> None:
    program = trace(module, SIZE)
    assert split(program) == 0
    assert count(program, ATTENTION) == 1
    assert operands(program) == [], "nothing can reach inside"
    assert len(find_products(program)) == 1


def test_new_nodes_know_their_shapes() -> None:
    program = trace(Attention(), SIZE)
    split(program)
    assert all("val" in node.meta for node in program.graph.nodes if node.op == "call_function")
    assert {tuple(node.meta["val"].shape[1:]) for node in find_products(program)} == {(3, 8, 8)}


@pytest.mark.parametrize(
    ("name", "options", "blocks"),
    [
        ("vit_tiny_patch16_224", {"img_size": 32, "depth": 2, "embed_dim": 12, "num_heads": 3}, 2),
        ("swin_tiny_patch4_window7_224", {"img_size": 32, "embed_dim": 12, "depths": (1, 1), "num_heads": (2, 2)}, 2),
        ("levit_128s", {"img_size": 64}, 11),
    ],
)
def test_operands_have_their_roles(name: str, options: dict[str, Any], blocks: int) -> None:
    module = timm.create_model(name, num_classes=5, **options).eval()
    side = options["img_size"]
    program, images = trace(module, (3, side, side)), torch.randn(2, 3, side, side)
    split(program)
    with torch.no_grad():
        torch.testing.assert_close(program(images), module(images), rtol=1e-4, atol=1e-5)
    roles = [operand.role for operand in operands(program)]
    assert roles == ["query", "key", "softmax", "value"] * blocks
    read = [factor for product in find_products(program) for factor in product.args]
    assert [operand.node for operand in operands(program)] == read


class Products(nn.Module):
    """Linear attention, a value on the left, one tensor twice, and a product with a stored matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.stored = nn.Parameter(torch.randn(8, 8))

    def forward(self, images: Tensor) -> Tensor:
        shares = (images @ images.transpose(-1, -2)).softmax(-1)
        weighed = images @ shares.transpose(-1, -2).contiguous()
        row = images[:, 0]
        twice = torch.bmm(row, row)
        return (weighed @ (self.stored * 2)).flatten(1) + twice.sum((1, 2))[:, None]


def test_odd_products_are_told_apart() -> None:
    program = trace(Products(), SIZE)
    assert len(find_products(program)) == 2, "what is stored is a weight, and what has no softmax no attention"
    assert [operand.role for operand in operands(program)] == ["query", "key", "softmax"], "each tensor once"


def test_only_what_depends_on_the_image_counts() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.randn(8, 8))

        def forward(self, images: Tensor) -> Tensor:
            return (images + self.table @ self.table.tanh()).flatten(1)

    assert find_products(trace(Table(), SIZE)) == []


def test_queries_keys_and_values_share_a_range() -> None:
    program = trace(timm.create_model("levit_128s", img_size=64).eval(), (3, 64, 64))
    found = operands(program)
    extremes = {operand.node: (-1.0 - index, 0.5) for index, operand in enumerate(found)}
    ranges = ranges_of(program, extremes)
    assert ranges.keys() == extremes.keys()
    for start in range(0, len(found), 4):
        query, key, softmax, value = (ranges[operand.node] for operand in found[start : start + 4])
        assert query == key == value == (-4.0 - start, 4.0 + start)
        assert softmax == (0.0, 0.5)


def test_other_products_have_ranges_of_their_own() -> None:
    program = trace(Products(), SIZE)
    ranges = ranges_of(program, {operand.node: (-3.0, 2.0) for operand in operands(program)})
    roles = {operand.role: ranges[operand.node] for operand in operands(program)}
    assert roles == {"query": (-3.0, 3.0), "key": (-3.0, 3.0), "softmax": (0.0, 2.0)}


@pytest.mark.parametrize("mask", [None, torch.linspace(-2, 2, 64).view(8, 8)], ids=["plain", "mask"])
def test_scores_are_found(mask: Tensor | None) -> None:
    program = trace(Attention(mask), SIZE)
    split(program)
    first, second = find_products(program)
    assert scores_of(second) is first
    assert scores_of(first) is None


def test_what_is_no_product_of_queries_and_keys_has_no_scores() -> None:
    class Table(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return ((images + 1).tanh().softmax(-1) @ images).flatten(1)

    (product,) = find_products(trace(Table(), SIZE))
    assert scores_of(product) is None
