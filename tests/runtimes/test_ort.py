import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vitc.compress.quantize import Quantize
from vitc.errors import NotAvailable, UserError, VerificationFailed, VitcError
from vitc.export import to_onnx
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.timm_ready import timm
from vitc.runtimes import ort
from vitc.runtimes.audit import audit, macs

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
SIZE = (3, 32, 32)
IMAGES = np.random.default_rng(0).standard_normal((5, *SIZE), dtype=np.float32)
BLOCK = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
LAYERS = {"patch_embed.proj", "head"} | {f"blocks.{i}.{layer}" for i in range(2) for layer in BLOCK}


def quantized(module: nn.Module) -> Backbone:
    backbone = Backbone("tiny", module.eval(), Preprocessing(SIZE), 7, ("cat",), "abc")
    return Quantize(grouped=True).apply(backbone, [torch.from_numpy(IMAGES)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ort")


@pytest.fixture(scope="module")
def vit(folder: Path) -> Path:
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 7}
    return to_onnx.write(quantized(timm.create_model("vit_tiny_patch16_224", **small)), folder / "vit").path


@pytest.fixture(scope="module")
def convolutional(folder: Path) -> Path:
    """The outputs of `0` and `2` are read by integers, that of `4` is not."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU())
    head = (nn.Conv2d(8, 16, 3, padding=1, groups=2), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return to_onnx.write(quantized(nn.Sequential(*layers, *head, nn.Linear(16, 5))), folder / "conv").path


def with_flat_bias(path: Path, into: Path) -> Path:
    """The same file but for the last bias, which gets rank 1: onnxruntime makes a float Gemm of that linear."""
    model = onnx.load(path)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    squeeze = next(node for node in model.graph.node if node.output[0] == to_onnx.OUTPUT)
    add = next(node for node in model.graph.node if node.output[0] == squeeze.input[0])
    bias = next(stored[name] for name in add.input if name in stored)
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias).ravel(), bias.name))
    add.output[0] = to_onnx.OUTPUT
    model.graph.node.remove(squeeze)
    onnx.save(model, into)
    return into


def test_a_session_runs_any_batch_and_tells_what_it_holds(vit: Path) -> None:
    with ort.OrtSession(vit, threads=1) as session:
        assert session.input_shape == (None, *SIZE)
        assert session.metadata["vitc.weights_sha256"] == "abc"
        assert session.run(IMAGES).shape == (5, 7)
        np.testing.assert_allclose(session.run(IMAGES[:1]), session.run(IMAGES)[:1], rtol=1e-4, atol=1e-4)


def test_every_quantized_linear_is_promised_under_its_layer(vit: Path) -> None:
    assert set(ort.promised(vit).values()) == LAYERS


def test_every_quantized_linear_runs_in_integers(vit: Path) -> None:
    kernels, promised = ort.executed(vit, IMAGES[:1]), ort.promised(vit)
    fused = {promised[kernel.name] for kernel in kernels if kernel.operator == "MatMulIntegerToFloat"}
    assert fused == LAYERS
    found = audit(kernels, promised)
    assert (found.promised_pct, found.fallbacks) == (100.0, ())
    assert 90 < found.int8_macs_pct < 100, "the products of attention stay float"


def test_multiplications_are_those_of_the_layers(vit: Path) -> None:
    kernels, promised = ort.executed(vit, IMAGES[:1]), ort.promised(vit)
    counted = Counter[str]()
    for kernel in kernels:
        counted[promised.get(kernel.name, "")] += macs(kernel)
    assert counted["blocks.0.attn.qkv"] == 17 * 48 * 144
    assert counted["patch_embed.proj"] == 16 * 192 * 48
    attention = [macs(kernel) for kernel in kernels if macs(kernel) and kernel.name not in promised]
    whole = 3 * 17 * 16 * 17
    assert attention == [whole, whole, whole / 17, whole / 17], "the last block asks for the class token alone"


def test_a_planted_fallback_is_named_by_its_layer(vit: Path, tmp_path: Path) -> None:
    planted = with_flat_bias(vit, tmp_path / "planted.onnx")
    found = audit(ort.executed(planted, IMAGES[:1]), ort.promised(planted))
    assert found.fallbacks == (("head", "runs as Gemm on float"),)
    assert found.promised_pct < 100


def test_every_convolution_runs_in_integers_or_is_named(convolutional: Path) -> None:
    kernels, promised = ort.executed(convolutional, IMAGES[:1]), ort.promised(convolutional)
    assert set(promised.values()) == {"0", "2", "4", "8"}
    integer = {promised[k.name]: macs(k) for k in kernels if k.operator == "QLinearConv"}
    assert integer == {"0": 8 * 32 * 32 * 27, "2": 8 * 32 * 32 * 9}
    found = audit(kernels, promised)
    assert found.fallbacks == (("4", "runs as Conv on float"),)
    floats = 16 * 32 * 32 * 36
    assert found.promised_pct == round(100 * (1 - floats / (floats + sum(integer.values()) + 80)), 2)


def test_profiles_leave_no_files(vit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ort.executed(vit, IMAGES[:1])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        ort.OrtSession(tmp_path / "model.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(range(256)) * 9, b"\x00" * 999])
def test_garbage_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(VerificationFailed, match="cannot load") as told:
        ort.OrtSession(tmp_path / "bad.onnx")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused_in_one_line(vit: Path, share: float, tmp_path: Path) -> None:
    content = vit.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: int(share * len(content))])
    with pytest.raises(VitcError) as told:
        ort.OrtSession(tmp_path / "cut.onnx")
    assert "\n" not in str(told.value)


def test_without_onnxruntime_it_says_what_to_install(vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(NotAvailable, match="pip install onnxruntime"):
        ort.OrtSession(vit)
