"""What layers and products read is rounded once for all that want the same; by heads or channels where asked for."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from vitc.compress.attention import split
from vitc.compress.binarize import binarize
from vitc.compress.draft import Bits, Draft
from vitc.compress.graph import find_sites, layer
from vitc.compress.round_inputs import UNIFORM, Inputs
from vitc.models.program import trace
from vitc.models.timm_ready import timm

SIZE = (3, 32, 32)
vitc = torch.ops.vitc


@pytest.fixture
def draft() -> Draft:
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 1, "num_heads": 3, "num_classes": 7}
    program = trace(timm.create_model("vit_tiny_patch16_224", **small).eval(), SIZE)
    split(program)
    return Draft(program, {layer(site): Bits(8, 8) for site in find_sites(program)}, "asymmetric")


@pytest.fixture(scope="module")
def batches() -> list[Tensor]:
    return list(torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(0)).split(2))


def rounded(program: GraphModule, operator: Any) -> list[Node]:
    return list(program.graph.find_nodes(op="call_function", target=operator))


def given(node: Node) -> tuple[Any, ...]:
    return tuple(node.args[1:])


def test_the_same_input_at_two_widths_is_rounded_twice(batches: list[Tensor]) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other, self.third = nn.Linear(32, 4), nn.Linear(32, 4), nn.Linear(32, 4)

        def forward(self, images: Tensor) -> Tensor:
            answer: Tensor = (self.one(images) + self.other(images) + self.third(images)).mean((1, 2))
            return answer

    program = trace(Two().eval(), SIZE)
    bits = {"one": Bits(8, 8), "other": Bits(8, 4), "third": Bits(4, 8)}
    Inputs(Draft(program, bits, "asymmetric"), batches, "mse", axiswise=False).of_layers()
    found = {given(node)[2]: {layer(user) for user in node.users} for node in rounded(program, vitc.quantize.default)}
    assert found == {8: {"one", "third"}, 4: {"other"}}


def test_products_have_one_signed_range_for_queries_keys_and_values(draft: Draft, batches: list[Tensor]) -> None:
    Inputs(draft, batches, "minmax", axiswise=False).of_products(8, UNIFORM)
    ranges = [given(node) for node in rounded(draft.program, vitc.quantize.default)]
    signed = {found for found in ranges if found[-1] == "symmetric"}
    assert len(ranges) == 4
    assert len(signed) == 1
    ((low, high, _, _),) = signed
    assert low == -high
    (softmax,) = (found for found in ranges if found[-1] == "asymmetric")
    assert softmax[0] == 0.0
    assert 0.0 < softmax[1] <= 1.0


def test_heads_have_ranges_of_their_own_where_asked_for(draft: Draft, batches: list[Tensor]) -> None:
    Inputs(draft, batches, "minmax", axiswise=True).of_products(8, UNIFORM)
    assert not rounded(draft.program, vitc.quantize.default)
    found = rounded(draft.program, vitc.quantize_axis.default)
    assert len(found) == 4
    for node in found:
        lows, highs, axis, bits, _ = given(node)
        assert (axis, bits) == (1, 8)
        assert len(lows) == len(highs) == 3
        assert len(set(highs)) == 3, "heads differ"
    draft.program.recompile()
    assert draft.program(batches[0]).isfinite().all()


def test_channels_of_depthwise_convolutions_have_ranges_of_their_own(batches: list[Tensor]) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.Flatten(), nn.Linear(3600, 5))
    program = trace(module.eval(), SIZE)
    bits = {layer(site): Bits(8, 8) for site in find_sites(program)}
    Inputs(Draft(program, bits, "asymmetric"), batches, "mse", axiswise=True).of_layers()
    (depthwise,) = rounded(program, vitc.quantize_axis.default)
    assert [layer(user) for user in depthwise.users] == ["1"]
    assert given(depthwise)[2] == 1
    assert len(rounded(program, vitc.quantize.default)) == 2


def test_values_alone_are_rounded_where_one_bit_weighs_them(draft: Draft, batches: list[Tensor]) -> None:
    binarize(draft.program, batches)
    Inputs(draft, batches, "mse", axiswise=True).of_values()
    (value,) = rounded(draft.program, vitc.quantize.default)
    assert given(value)[2:] == (8, "symmetric")
    (product,) = value.users
    assert product.args[1] is value
    assert not rounded(draft.program, vitc.quantize_axis.default), "engines multiply by one scale"
