import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitc.compress import ops
from vitc.compress.scheme import SCHEMES
from vitc.models.program import trace

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
        (ops.quantize_axis, (x, [-1.0] * 3, [1.0, 2.0, 3.0], 1, 8, "asymmetric")),
        (ops.linear, (x, codes, torch.ones(5), None, 8)),
        (ops.conv2d, (image, kernel, scale, None, [2, 1], [1, 0], [1, 1], 2, 8)),
    ):
        found = torch.library.opcheck(operator, arguments, test_utils=("test_schema", "test_faketensor"))
        assert set(found.values()) == {"SUCCESS"}


@pytest.mark.parametrize("axis", [0, 2, -1])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bits", [4, 8])
def test_quantize_axis_is_quantize_for_each_index(axis: int, scheme: str, bits: int) -> None:
    x = torch.randn(6, 3, 6)
    before = x.clone()
    whole = torch.ops.vitc.quantize_axis(x, *map(list, zip(*LIMITS, strict=True)), axis, bits, scheme)
    for index, (low, high) in enumerate(LIMITS):
        part = torch.ops.vitc.quantize(x.select(axis, index).contiguous(), low, high, bits, scheme)
        assert torch.equal(whole.select(axis, index), part)
    assert torch.equal(x, before)


@pytest.mark.parametrize(("low", "high"), [([0.0], [1.0]), ([0.0] * 3, [1.0] * 2), ([0.0] * 4, [1.0] * 4)])
def test_as_many_ranges_as_indices_are_asked_for(low: list[float], high: list[float]) -> None:
    with pytest.raises(ValueError, match="axis 1"):
        torch.ops.vitc.quantize_axis(torch.randn(2, 3), low, high, 1, 8, "asymmetric")


class Rounded(nn.Module):
    """Both ways to round."""

    def forward(self, images: Tensor) -> Tensor:
        whole = torch.ops.vitc.quantize(images, -1.0, 3.0, 8, "asymmetric")
        result: Tensor = torch.ops.vitc.quantize_axis(whole, [-0.5, 0.0], [1.0, 0.7], 1, 8, "asymmetric")
        return result


def test_another_scheme_is_for_all_that_rounds() -> None:
    program = trace(Rounded(), (2, 4, 4))
    other = ops.retarget(program, "symmetric")
    assert (ops.scheme_of(program), ops.scheme_of(other)) == ("asymmetric", "symmetric")
    schemes = [node.args[-1] for node in other.graph.nodes if node.target in ops.ROUNDING]
    assert schemes == ["symmetric"] * 2
    images = torch.randn(2, 2, 4, 4)
    assert torch.equal(program(images), Rounded()(images)), "the first program is as it was"
    assert not torch.equal(program(images), other(images))


def test_a_program_that_only_rounds_by_index_has_a_scheme() -> None:
    class Alone(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            result: Tensor = torch.ops.vitc.quantize_axis(images, [-0.5, 0.0], [1.0, 0.7], 1, 8, "symmetric")
            return result

    assert ops.scheme_of(trace(Alone(), (2, 4, 4))) == "symmetric"


def test_what_had_a_scheme_of_its_own_keeps_it() -> None:
    program = trace(Rounded(), (2, 4, 4))
    second = [node for node in program.graph.nodes if node.target in ops.ROUNDING][1]
    second.args = (*second.args[:-1], "symmetric")
    for wanted in SCHEMES:
        other = ops.retarget(program, wanted)
        schemes = [node.args[-1] for node in other.graph.nodes if node.target in ops.ROUNDING]
        assert schemes == [wanted, "symmetric"]
