import torch
from torch import nn

from vitc.compress.attention import split
from vitc.compress.precisions import macs_by_bits
from vitc.models.cost import cost
from vitc.models.program import trace


class Mixed(nn.Module):
    """A convolution of 1 bit, a linear of 4, and a float one."""

    def __init__(self) -> None:
        super().__init__()
        for name, shape in (("conv", (4, 3, 2, 2)), ("linear", (4, 5))):
            self.register_buffer(f"{name}_codes", torch.ones(shape, dtype=torch.int8))
        self.register_buffer("conv_scale", torch.ones(4))
        self.register_buffer("linear_scale", torch.ones(5))
        self.head = nn.Linear(5, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.ops.vitc.quantize(x, -1.0, 1.0, 8, "asymmetric")
        x = torch.ops.vitc.conv2d(x, self.conv_codes, self.conv_scale, None, [2, 2], [0, 0], [1, 1], 1, 1)
        x = torch.ops.vitc.quantize_axis(x.mean((2, 3)), [-1.0] * 4, [1.0] * 4, 1, 6, "asymmetric").view(-1, 4)
        logits: torch.Tensor = self.head(torch.ops.vitc.linear(x, self.linear_codes, self.linear_scale, None, 4))
        return logits


class Attention(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2)[:, None]
        rounded = torch.ops.vitc.quantize(tokens, -1.0, 1.0, 8, "symmetric")
        scores = torch.matmul(rounded, rounded.transpose(-2, -1)).softmax(-1)
        return torch.matmul(scores, tokens)


def test_products_are_counted_by_the_bits_of_both_factors() -> None:
    program = trace(Mixed(), (3, 4, 4))
    assert macs_by_bits(program, (3, 4, 4)) == {"w1a8": 4 * 4 * 3 * 4, "w4a6": 4 * 5, "w32a32": 5 * 7}


def test_a_product_of_attention_is_rounded_where_both_factors_are() -> None:
    program = trace(Attention(), (3, 4, 4))
    assert macs_by_bits(program, (3, 4, 4)) == {"w8a8": 3 * 3 * 16, "w32a32": 3 * 3 * 16}


def test_what_is_not_rounded_is_float_whether_traced_or_not() -> None:
    module = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, groups=3), nn.Flatten(), nn.Linear(96, 5))
    macs = cost(module, (3, 4, 4)).macs
    assert macs_by_bits(module, (3, 4, 4)) == {"w32a32": macs}
    program = trace(module, (3, 4, 4))
    split(program)
    assert macs_by_bits(program, (3, 4, 4)) == {"w32a32": macs}
