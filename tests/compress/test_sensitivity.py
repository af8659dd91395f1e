"""Layers that bear few bits least are found by what the answers become, and keep their bits."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional

from vitc.compress.draft import Bits, Draft
from vitc.compress.graph import find_sites, layer
from vitc.compress.quantize import Quantize
from vitc.compress.sensitivity import divergences, keep
from vitc.compress.weights import quantize_channels
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.program import trace

SIZE = (3, 4, 4)


@pytest.fixture
def module() -> nn.Module:
    """Of the layers between the first and the last, the second holds signs already; the last is the loudest."""
    torch.manual_seed(0)
    widths = (48, 24, 24, 24, 24, 5)
    linears = [nn.Linear(*ends) for ends in pairwise(widths)]
    with torch.no_grad():
        linears[2].weight.copy_(0.2 * linears[2].weight.sign())
        linears[3].weight.mul_(0.3)
        linears[4].weight.mul_(10)
    parts = [part for linear in linears for part in (linear, nn.GELU())]
    return nn.Sequential(nn.Flatten(), *parts[:-1]).eval()


@pytest.fixture
def batches() -> list[Tensor]:
    return list(torch.randn(24, *SIZE, generator=torch.Generator().manual_seed(0)).split(10))


def draft(module: nn.Module, bits: Bits) -> Draft:
    program = trace(module, SIZE)
    return Draft(program, {layer(site): bits for site in find_sites(program)}, "asymmetric")


def test_each_layer_is_rounded_alone(module: nn.Module, batches: list[Tensor]) -> None:
    found = divergences(draft(module, Bits(1, 8)), batches, "nearest")
    assert list(found) == ["1", "3", "5", "7", "9"]
    images = torch.cat(batches)
    with torch.no_grad():
        exact = module(images).log_softmax(1)
        for name, apart in found.items():
            linear = module.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            was = linear.weight.detach().clone()
            codes, scale = quantize_channels(was, 1)
            linear.weight.copy_(codes * scale[:, None])
            alone = module(images).log_softmax(1)
            linear.weight.copy_(was)
            wanted = functional.kl_div(alone, exact, reduction="batchmean", log_target=True)
            assert apart == pytest.approx(float(wanted), rel=1e-3, abs=1e-6)
    assert abs(found["5"]) < 0.01 * found["3"]
    assert found["9"] > 10 * found["7"]


def test_those_are_kept_that_cost_most_a_weight(module: nn.Module, batches: list[Tensor]) -> None:
    given = draft(module, Bits(1, 8))
    assert keep(given, batches, "gptq", 0) == given.bits
    apart = divergences(given, batches, "gptq")
    sizes = {name: one.weight.numel() for name, one in module.named_modules() if isinstance(one, nn.Linear)}
    wanted = sorted(apart, key=lambda name: apart[name] / sizes[name])[-2:]
    kept = keep(given, batches, "gptq", 2)
    assert {name for name, bits in kept.items() if bits.weight == 8} == set(wanted)
    assert all(bits.activation == 8 for bits in kept.values())
    assert all(name in given.notes[-1] for name in wanted)


def test_what_has_eight_bits_is_not_among_them(module: nn.Module, batches: list[Tensor]) -> None:
    backbone = Backbone("tiny", module, Preprocessing(SIZE), 5, (), "abc")
    made = Quantize(1, 8, keep=1, equalize=()).apply(backbone, batches)
    found = widths(made)
    assert sorted(found) == [1, 1, 8, 8, 8]
    assert (found[0], found[-1]) == (8, 8)
    assert set(widths(Quantize(1, 8, keep=9, equalize=()).apply(backbone, batches))) == {8}


def widths(backbone: Backbone) -> list[int]:
    assert isinstance(backbone.module, GraphModule)
    nodes = backbone.module.graph.find_nodes(op="call_function", target=torch.ops.vitc.linear.default)
    return [int(node.args[-1]) for node in nodes]
