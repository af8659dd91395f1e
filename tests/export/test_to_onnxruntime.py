from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vitc.compress.quantize import Quantize
from vitc.export import to_onnx, to_onnxruntime
from vitc.export.options import Options
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.timm_ready import timm
from vitc.runtimes import ort
from vitc.runtimes.audit import audit

onnx = pytest.importorskip("onnx")
SIZE = (3, 32, 32)
IMAGES = np.random.default_rng(0).standard_normal((5, *SIZE), dtype=np.float32)
BITS = {8: "int8", 4: "int4", 1: "binary"}


def wrapped(module: nn.Module) -> Backbone:
    return Backbone("tiny", module.eval(), Preprocessing(SIZE), 7, ("cat",), "abc")


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 7}
    return wrapped(timm.create_model("vit_tiny_patch16_224", **small))


@pytest.fixture(scope="module")
def quantized(backbone: Backbone) -> dict[int, Backbone]:
    return {bits: Quantize(weight_bits=bits).apply(backbone, [torch.from_numpy(IMAGES)]) for bits in BITS}


@pytest.fixture(scope="module")
def files(quantized: dict[int, Backbone], tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("onnxruntime")
    return {bits: to_onnxruntime.write(made, folder / str(bits)).path for bits, made in quantized.items()}


def run(path: Path, images: np.ndarray) -> np.ndarray:
    with ort.OrtSession(path, threads=1) as session:
        return session.run(images)


def in_torch(backbone: Backbone, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = backbone.module(torch.from_numpy(images)).numpy()
    return found


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("batch", [1, 5])
def test_the_file_answers_as_the_simulation(
    files: dict[int, Path], quantized: dict[int, Backbone], bits: int, batch: int
) -> None:
    wanted = in_torch(quantized[bits], IMAGES[:batch])
    assert np.abs(run(files[bits], IMAGES[:batch]) - wanted).max() < 0.02 * np.abs(wanted).max()


def test_the_float_file_answers_as_torch(backbone: Backbone, tmp_path: Path) -> None:
    made = to_onnxruntime.write(backbone, tmp_path)
    assert (made.name, made.format) == ("fp32/onnxruntime", "onnxruntime")
    np.testing.assert_allclose(run(made.path, IMAGES), in_torch(backbone, IMAGES), rtol=1e-4, atol=1e-4)


def test_both_targets_give_the_same_sums(
    files: dict[int, Path], quantized: dict[int, Backbone], tmp_path: Path
) -> None:
    standard = to_onnx.write(quantized[8], tmp_path).path
    np.testing.assert_allclose(run(files[8], IMAGES), run(standard, IMAGES), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("bits", BITS)
def test_every_linear_runs_in_integers_under_its_layers_name(files: dict[int, Path], bits: int) -> None:
    kernels, promised = ort.executed(files[bits], IMAGES[:1]), ort.promised(files[bits])
    blocks = {f"blocks.{i}.{layer}" for i in range(2) for layer in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")}
    assert set(promised.values()) == blocks | {"patch_embed.proj", "head"}
    fused = {promised[kernel.name] for kernel in kernels if kernel.operator == "MatMulIntegerToFloat"}
    assert fused == set(promised.values())
    assert audit(kernels, promised).promised_pct == 100
    assert "Gather" not in {kernel.operator for kernel in kernels if kernel.outputs[0][0] == "int8"}, "unpacked at load"


def test_biases_are_inside_and_only_the_residual_sums_are_left(files: dict[int, Path]) -> None:
    kinds = [kernel.operator for kernel in ort.executed(files[8], IMAGES[:1])]
    assert kinds.count("Add") + kinds.count("SkipLayerNormalization") == 5, "two a block, and the positions"
    assert "DequantizeLinear" not in kinds


def test_the_last_block_computes_the_class_token_alone(files: dict[int, Path]) -> None:
    promised = ort.promised(files[8])
    rows = {
        promised[kernel.name]: np.prod(kernel.outputs[0][1][:-1])
        for kernel in ort.executed(files[8], IMAGES[:1])
        if kernel.name in promised
    }
    assert rows["blocks.0.mlp.fc1"] == 17
    assert rows["blocks.1.mlp.fc1"] == rows["blocks.1.attn.proj"] == rows["head"] == 1


def test_fewer_bits_make_smaller_files(files: dict[int, Path]) -> None:
    sizes = [files[bits].stat().st_size for bits in BITS]
    assert sizes == sorted(sizes, reverse=True)
    saved = 8 * (sizes[0] - sizes[1]) / 4
    weights = 2 * 12 * 48 * 48  # of the blocks: patch embedding and head keep 8 bits
    assert saved > 0.8 * weights, "the prologues cost a little"


def test_writing_twice_gives_the_same_bytes(
    files: dict[int, Path], quantized: dict[int, Backbone], tmp_path: Path
) -> None:
    again = to_onnxruntime.write(quantized[4], tmp_path / "else")
    assert again.path.read_bytes() == files[4].read_bytes()


def test_a_fixed_batch_is_fixed(quantized: dict[int, Backbone], tmp_path: Path) -> None:
    made = to_onnxruntime.write(quantized[8], tmp_path, Options(batch=2))
    with ort.OrtSession(made.path, threads=1) as session:
        assert session.input_shape == (2, *SIZE)
        wanted = in_torch(quantized[8], IMAGES[:2])
        assert np.abs(session.run(IMAGES[:2]) - wanted).max() < 0.02 * np.abs(wanted).max()
