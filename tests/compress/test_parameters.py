"""Weights and biases are read as they are used, changed in this program only, and added where there were none."""

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from vitc.compress.graph import find_sites
from vitc.compress.parameters import bias_of, has_own_weight, scale_outputs, set_bias, set_weight, weight_of
from vitc.models.program import trace

WIDTH = 8


class Shared(nn.Module):
    """Two linears of one weight, and one whose bias is put together."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.part = (
            nn.Linear(WIDTH, WIDTH),
            nn.Linear(WIDTH, WIDTH),
            nn.Parameter(torch.ones(4)),
        )
        self.third = nn.Linear(WIDTH, WIDTH, bias=False)
        self.second.weight = self.first.weight

    def forward(self, images: Tensor) -> Tensor:
        bias = torch.cat([self.part, self.part])
        return nn.functional.linear(self.second(self.first(images)), self.third.weight, bias)


def traced(module: nn.Module) -> tuple[GraphModule, list[Node]]:
    program = trace(module.eval(), (5, WIDTH))
    return program, find_sites(program)


def outputs(program: GraphModule, x: Tensor) -> Tensor:
    program.recompile()
    with torch.no_grad():
        answer: Tensor = program(x)
    return answer


def test_a_weight_that_is_shared_is_not_own_and_a_bias_that_is_put_together_can_be_replaced() -> None:
    program, sites = traced(Shared())
    assert [has_own_weight(program, site) for site in sites] == [False, False, True]
    x = torch.randn(3, 5, WIDTH)
    before = outputs(program, x)
    assert bias_of(program, sites[2]).tolist() == [1.0] * WIDTH
    set_bias(program, sites[2], bias_of(program, sites[2]) + 2)
    assert torch.allclose(outputs(program, x), before + 2, atol=1e-5)


def test_a_bias_is_added_only_where_it_is_not_zero() -> None:
    program, (site,) = traced(nn.Linear(WIDTH, 4, bias=False))
    x = torch.randn(3, 5, WIDTH)
    before = outputs(program, x)
    set_bias(program, site, torch.zeros(4))
    assert len(site.args) == 2
    assert not bias_of(program, site).any()
    set_bias(program, site, torch.ones(4))
    assert torch.allclose(outputs(program, x), before + 1, atol=1e-6)


def test_the_module_that_was_traced_does_not_change() -> None:
    module = nn.Linear(WIDTH, 4)
    weight, bias = module.weight.detach().clone(), module.bias.detach().clone()
    program, (site,) = traced(module)
    x = torch.randn(3, 5, WIDTH)
    before = outputs(program, x)
    scale_outputs(program, site, torch.full((4,), 3.0))
    assert torch.allclose(outputs(program, x), before * 3, atol=1e-5)
    set_weight(program, site, weight_of(program, site) * 2)
    assert weight_of(program, site).dtype == torch.float64
    assert torch.allclose(weight_of(program, site), weight.double() * 6)
    assert torch.equal(module.weight, weight)
    assert torch.equal(module.bias, bias)
