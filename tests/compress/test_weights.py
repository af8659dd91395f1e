from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitc.compress.weights import DEAD, highest, keep_pairs, neighbours, pair_reach, pitch, quantize_channels, snap

onnx = pytest.importorskip("onnx")


def outliers(weight: Tensor) -> Tensor:
    """A few weights are a hundred times larger than the others."""
    return torch.where(torch.rand(weight.shape) < 0.02, 100 * weight, weight)


def drawn(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows * columns))


torch.manual_seed(0)
WEIGHTS = {
    "random": drawn(16, 64),
    "odd": drawn(8, 27),
    "one": drawn(8, 1),
    "outliers": outliers(drawn(16, 64)),
    "positive": drawn(8, 32).abs(),
    "equal": torch.full((4, 32), -0.3),
    "pairs that tie": torch.tensor([[63.5, 63.5, 1.0, -1.0], [-63.5, -63.5, 127.0, -127.0]]),
    "tiny": drawn(8, 32) * 1e-30,
    "huge": drawn(8, 32) * 1e30,
    "channels of all sizes": drawn(8, 32) * torch.logspace(-40, 10, 8)[:, None],
    "zeros": torch.zeros(3, 10),
    "one channel of zeros": drawn(3, 10) * torch.tensor([[1.0], [0.0], [1.0]]),
}


@pytest.fixture(params=WEIGHTS)
def weight(request: pytest.FixtureRequest) -> Tensor:
    return WEIGHTS[request.param]


def pairs(codes: Tensor) -> Tensor:
    """Neighbours [N, K / 2, 2], as old kernels multiply them; an odd one out stands beside a zero."""
    even: Tensor = torch.nn.functional.pad(codes.int(), (0, codes.shape[1] % 2))
    return even.reshape(len(codes), -1, 2)


@pytest.mark.parametrize("bits", [4, 8])
def test_no_two_neighbours_of_one_sign_saturate(weight: Tensor, bits: int) -> None:
    codes, _ = quantize_channels(weight, bits)
    neighbours = pairs(codes)
    agree = neighbours.prod(2) > 0
    assert bits < 8 or (neighbours.sum(2)[agree].abs() <= 128).all()
    products = 255 * torch.cat([neighbours, neighbours.sum(2, keepdim=True)], dim=2)
    assert products.min() >= -(2**15)
    assert products.max() < 2**15


@pytest.mark.parametrize("bits", [4, 8])
def test_a_weight_moves_by_half_a_step_at_most(weight: Tensor, bits: int) -> None:
    codes, scale = quantize_channels(weight, bits)
    error = (codes * scale[:, None] - weight).abs()
    assert (error <= scale[:, None] * (0.5 + 1e-4)).all()


@pytest.mark.parametrize("bits", range(2, 9))
def test_codes_are_signed_bytes_within_their_bits(weight: Tensor, bits: int) -> None:
    codes, scale = quantize_channels(weight, bits)
    assert (codes.dtype, codes.shape) == (torch.int8, weight.shape)
    assert (scale.dtype, scale.shape) == (torch.float32, weight.shape[:1])
    assert codes.abs().max() <= highest(bits) < 2 ** (bits - 1 + (bits == 2))


def test_a_grid_ends_at_the_largest_pair() -> None:
    weight = torch.tensor([[0.5, 0.25, -0.5, 0.6], [-0.2, -0.2, 0.3, 0.0]])
    assert pair_reach(weight).tolist() == pytest.approx([0.75, 0.4])
    _, scale = quantize_channels(weight, 8)
    assert scale.tolist() == pytest.approx([0.75 / 127, 0.4 / 127])


def test_scales_are_normal_numbers(weight: Tensor) -> None:
    _, scale = quantize_channels(weight, 8)
    assert (scale >= torch.finfo(torch.float32).tiny).all()
    assert scale.isfinite().all()


def test_a_channel_is_quantized_by_itself_unless_it_is_dead() -> None:
    weight = drawn(3, 20) * torch.tensor([[1.0], [1e-4], [DEAD / 1000]])
    codes, scale = quantize_channels(weight, 8)
    for row in (0, 1):
        alone, its_scale = quantize_channels(weight[row : row + 1], 8)
        assert torch.equal(codes[row], alone[0])
        assert scale[row] == its_scale[0]
    assert not codes[2].any()
    assert scale[2] == scale.max(), "a bias would not fit 32 bits, counted in steps of next to nothing"


def operator_model(path: Path, codes: NDArray[np.int8]) -> None:
    """A model of one MatMulInteger, written to `path`."""
    helper, kinds = onnx.helper, onnx.TensorProto
    node = helper.make_node("MatMulInteger", ["x", "codes"], ["y"])
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("x", kinds.UINT8, [None, codes.shape[0]])],
        [helper.make_tensor_value_info("y", kinds.INT32, None)],
        [onnx.numpy_helper.from_array(codes, "codes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, path)


@pytest.mark.parametrize("kind", ["random", "odd", "outliers", "positive", "equal", "pairs that tie"])
def test_the_integer_kernel_gives_the_exact_product(kind: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    codes = quantize_channels(WEIGHTS[kind], 8)[0].t().contiguous().numpy()
    operator_model(tmp_path / "m.onnx", codes)
    session = runtime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    positive = 255 * (codes.T > 0)
    x = np.concatenate([np.full((4, len(codes)), 255), positive, 255 - positive]).astype(np.uint8)
    assert np.array_equal(session.run(None, {"x": x})[0], x.astype(np.int32) @ codes.astype(np.int32))


@pytest.mark.parametrize("shape", [(5, 9), (3, 1), (7, 64)])
def test_one_bit_is_the_sign_at_the_nearest_scale(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    weight = torch.randn(shape, dtype=torch.float64)
    codes, scale = quantize_channels(weight, 1)
    assert set(codes.unique().tolist()) == {-1, 1}
    best = torch.minimum((weight - scale[:, None]) ** 2, (weight + scale[:, None]) ** 2)
    torch.testing.assert_close((codes * scale[:, None] - weight) ** 2, best)
    error = (codes * scale[:, None] - weight).square().sum(1)
    for other in (0.99, 1.01):
        assert ((codes * scale[:, None] * other - weight).square().sum(1) >= error).all()


@pytest.mark.parametrize("bits", [1, 2])
def test_one_bit_or_two_of_nothing_are_next_to_nothing(bits: int) -> None:
    codes, scale = quantize_channels(torch.zeros(2, 4), bits)
    assert (codes.abs() == 1).all()
    assert (scale < 1e-20).all()


def test_two_bits_are_two_bases_of_signs_the_second_half_as_long() -> None:
    codes, scale = quantize_channels(drawn(6, 40), 2)
    first = torch.where(codes < 0, -1, 1)
    second = codes - 2 * first
    assert set(second.unique().tolist()) == {-1, 1}
    torch.testing.assert_close(2 * scale[:, None] * first + scale[:, None] * second, codes * scale[:, None])


@pytest.mark.parametrize("bits", range(1, 9))
def test_snapping_finds_the_nearest_code(bits: int) -> None:
    values = 200 * drawn(3, 50)
    allowed = torch.arange(-highest(bits), highest(bits) + 1, pitch(bits))
    assert len(allowed) == {1: 2, 2: 4}.get(bits, 2**bits - 1)
    nearest = (values[..., None] - allowed).abs().min(-1).values
    torch.testing.assert_close((snap(values, bits) - values).abs(), nearest)


def test_snapping_beside_a_code_stops_where_the_pair_would_saturate() -> None:
    values, beside = torch.tensor([127.0, 90.0, -127.0, -20.0]), torch.tensor([30.0, 30.0, -127.0, 127.0])
    assert snap(values, 8, beside).tolist() == [98, 90, -1, -20]
    assert snap(torch.tensor([7.0]), 4, torch.tensor([7.0])).tolist() == [7]


@pytest.mark.parametrize("width", [1, 2, 27, 64])
def test_pairs_are_kept_with_the_smallest_change(width: int) -> None:
    codes = torch.randint(-127, 128, (40, width), generator=torch.Generator().manual_seed(width)).to(torch.int8)
    kept = keep_pairs(codes)
    assert (kept.dtype, kept.shape) == (torch.int8, codes.shape)
    assert pairs(kept).sum(2).abs().max() <= 128
    assert kept.int().abs().max() <= 127
    excess = (pairs(codes).sum(2).abs() - 128).clamp_min(0)
    change = (pairs(codes) - pairs(kept)).abs()
    assert torch.equal(change.sum(2), excess)
    assert (change[..., 0] - change[..., 1]).abs().max() <= 1
    assert width == 1 or excess.any()


def test_neighbours_are_those_that_kernels_add() -> None:
    assert neighbours(5) == [1, 0, 3, 2, None]
