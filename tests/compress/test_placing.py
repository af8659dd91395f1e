"""Quantized operators take the places of what they stand for, and of nothing else."""

import torch
from torch import nn
from torch.fx import Node

from vitc.compress.draft import Bits
from vitc.compress.graph import find_sites, layer, tensor
from vitc.compress.placing import put, round_input
from vitc.compress.ranges import Range
from vitc.compress.round_layers import Settled, flat_weight, stored
from vitc.compress.weights import quantize_channels
from vitc.models.program import trace

vitc = torch.ops.vitc


def test_a_layer_in_codes_gives_what_its_dequantized_weights_give() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Flatten(), nn.Linear(16, 5)).eval()
    program = trace(module, (3, 4, 4))
    images = torch.randn(2, 3, 4, 4)
    for site in find_sites(program):
        weight_node, bias_node = site.args[1:3]
        assert isinstance(weight_node, Node)
        assert isinstance(bias_node, Node)
        weight, bias = tensor(program, weight_node), tensor(program, bias_node)
        codes, scale = quantize_channels(flat_weight(weight), 6)
        kept = stored(codes, weight)
        name = layer(site)
        put(program, Settled(site, Bits(6, 8), kept, scale, bias + 1))
        back = (kept * scale).t() if weight.dim() == 2 else kept * scale.view(-1, 1, 1, 1)
        module.load_state_dict({f"{name}.weight": back, f"{name}.bias": bias + 1}, strict=False)
    program.recompile()
    assert [node.target for node in program.graph.nodes if node.op == "call_function"] == [
        vitc.conv2d.default,
        torch.ops.aten.flatten.using_ints,
        vitc.linear.default,
    ]
    assert torch.allclose(program(images), module(images), atol=1e-5)


def test_only_the_readers_that_are_named_read_what_is_rounded() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            x = images.flatten(1)
            answer: torch.Tensor = self.one(x) + self.other(x) + x
            return answer

    program = trace(Twice().eval(), (1, 2, 2))
    one, other = find_sites(program)
    source = one.args[0]
    assert isinstance(source, Node)
    round_input(source, [one], Range(-1.0, 1.0), 8, "asymmetric")
    (rounded,) = program.graph.find_nodes(op="call_function", target=vitc.quantize.default)
    assert list(rounded.users) == [one]
    assert other.args[0] is source
    assert rounded.args == (source, -1.0, 1.0, 8, "asymmetric")
