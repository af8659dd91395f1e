import pytest
import torch
from torch import nn
from torch.nn import functional

from vitc.compress import ops  # noqa: F401  (registers the operators)
from vitc.models.cost import Cost, cost
from vitc.models.program import trace
from vitc.models.timm_ready import timm


class Attention(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2)[:, None]
        return functional.scaled_dot_product_attention(tokens, tokens, tokens)


class Quantized(nn.Module):
    """A convolution and a linear as a quantized program holds them, with a weight that is no longer read."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("conv_codes", torch.ones(4, 3, 2, 2, dtype=torch.int8))
        self.register_buffer("conv_scale", torch.ones(4))
        self.register_buffer("linear_codes", torch.ones(4, 5, dtype=torch.int8))
        self.register_buffer("linear_scale", torch.ones(5))
        self.bias = nn.Parameter(torch.zeros(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.ops.vitc.conv2d(x, self.conv_codes, self.conv_scale, None, [2, 2], [0, 0], [1, 1], 1, 8)
        logits: torch.Tensor = torch.ops.vitc.linear(x.mean((2, 3)), self.linear_codes, self.linear_scale, self.bias, 8)
        return logits


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(48, 5)), Cost(48 * 5 + 5, 48 * 5)),
        (nn.Conv2d(3, 6, 3, padding=1, groups=3), Cost(6 * 9 + 6, 6 * 9 * 16)),
        (Attention(), Cost(0, 2 * 3 * 3 * 16)),
        (Quantized(), Cost(4 * 3 * 4 + 4 * 5 + 5, 4 * 4 * 3 * 4 + 4 * 5)),
    ],
)
def test_costs_are_those_of_the_formulas(module: nn.Module, expected: Cost) -> None:
    assert cost(module, (3, 4, 4)) == expected
    assert cost(trace(module, (3, 4, 4)), (3, 4, 4)) == expected


def test_parameters_that_a_program_no_longer_reads_cost_nothing() -> None:
    program = trace(nn.Sequential(nn.Flatten(), nn.Linear(48, 5)), (3, 4, 4))
    program.register_parameter("leftover", nn.Parameter(torch.zeros(1000)))
    assert cost(program, (3, 4, 4)).params == 48 * 5 + 5


def test_deit_tiny_costs_what_its_paper_says() -> None:
    found = cost(timm.create_model("deit_tiny_patch16_224").eval(), (3, 224, 224))
    assert found.params == 5_717_416
    assert found.macs == pytest.approx(1.25e9, rel=0.01)
