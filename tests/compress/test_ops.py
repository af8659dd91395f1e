import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vitc.compress import ops
from vitc.compress.scheme import SCHEMES

LIMITS = [(-1.0, 3.0), (0.0, 6.0), (-2.5, 0.0), (0.5, 2.0), (0.0, 0.0), (-1e-3, 40.0)]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def quantize(x: Tensor, low: float, high: float, bits: int = 8) -> Tensor:
    result: Tensor = torch.ops.vitc.quantize(x, low, high, bits, "asymmetric")
    return result


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("low", "high"), LIMITS)
def test_quantize_is_the_formula(low: float, high: float, bits: int) -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 3
    grid = SCHEMES["asymmetric"].grid(low, high, bits)
    scale = np.float32(grid.scale)
    codes = np.clip(np.rint(x.numpy() / scale) + grid.zero_point, grid.lowest, grid.highest)
    assert np.array_equal(quantize(x, low, high, bits).numpy(), (codes - grid.zero_point).astype(np.float32) * scale)


def test_halves_are_rounded_to_even() -> None:
    x = torch.tensor([0.5, 1.5, 2.5, 3.5, 254.5])
    assert quantize(x, 0.0, 255.0).tolist() == [0.0, 2.0, 2.0, 4.0, 254.0]


@pytest.mark.parametrize(("low", "high"), LIMITS)
def test_what_is_on_the_grid_stays(low: float, high: float) -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(1)) * 3
    once = quantize(x, low, high)
    assert torch.equal(quantize(once, low, high), once)


@pytest.mark.parametrize(("low", "high"), LIMITS)
def test_values_inside_the_range_move_by_half_a_step_at_most(low: float, high: float) -> None:
    x = torch.linspace(low, high, 1001)
    step = SCHEMES["asymmetric"].grid(low, high, 8).scale
    assert (quantize(x, low, high) - x).abs().max() <= step * (0.5 + 1e-4)


def test_values_outside_the_range_go_to_its_ends() -> None:
    assert quantize(torch.tensor([-9.0, 9.0, torch.inf]), -1.0, 1.55).tolist() == pytest.approx([-1.0, 1.55, 1.55])


def test_quantize_leaves_its_input_alone() -> None:
    x = torch.randn(8)
    before = x.clone()
    quantize(x, -1.0, 1.0)
    assert torch.equal(x, before)


@pytest.mark.parametrize("shape", [(6,), (2, 6), (2, 3, 6), (2, 3, 4, 6)], ids=len)
@pytest.mark.parametrize("has_bias", [True, False])
def test_linear_is_the_float_linear_of_the_codes(shape: tuple[int, ...], has_bias: bool) -> None:  # noqa: FBT001
    x, codes = torch.randn(shape), torch.randint(-127, 128, (6, 5), dtype=torch.int8)
    scale, bias = torch.rand(5) / 127, torch.randn(5) if has_bias else None
    wanted = functional.linear(x, (codes.float() * scale).t(), bias)
    torch.testing.assert_close(torch.ops.vitc.linear(x, codes, scale, bias, 8), wanted)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [([1, 1], [0, 0], [1, 1], 1), ([2, 1], [1, 2], [1, 1], 2), ([1, 1], [2, 2], [2, 2], 4)],
)
def test_conv2d_is_the_float_convolution_of_the_codes(
    stride: list[int], padding: list[int], dilation: list[int], groups: int
) -> None:
    x, codes = torch.randn(2, 4, 9, 9), torch.randint(-127, 128, (8, 4 // groups, 3, 3), dtype=torch.int8)
    scale, bias = torch.rand(8), torch.randn(8)
    weight = codes.float() * scale[:, None, None, None]
    wanted = functional.conv2d(x, weight, bias, stride, padding, dilation, groups)
    result = torch.ops.vitc.conv2d(x, codes, scale, bias, stride, padding, dilation, groups, 8)
    torch.testing.assert_close(result, wanted)


def test_the_fake_kernels_tell_the_true_shapes() -> None:
    x, image, codes = torch.randn(2, 3, 6), torch.randn(2, 4, 9, 9), torch.ones(6, 5, dtype=torch.int8)
    kernel, scale = torch.ones(8, 2, 3, 3, dtype=torch.int8), torch.ones(8)
    for operator, arguments in (
        (ops.quantize, (x, -1.0, 1.0, 8, "asymmetric")),
        (ops.linear, (x, codes, torch.ones(5), None, 8)),
        (ops.conv2d, (image, kernel, scale, None, [2, 1], [1, 0], [1, 1], 2, 8)),
    ):
        found = torch.library.opcheck(operator, arguments, test_utils=("test_schema", "test_faketensor"))
        assert set(found.values()) == {"SUCCESS"}
