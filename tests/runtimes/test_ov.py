from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vitc import libraries
from vitc.compress.quantize import Quantize
from vitc.errors import NotAvailable, UserError, VerificationFailed
from vitc.export import drift, to_openvino
from vitc.export.options import Options
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.program import trace
from vitc.models.timm_ready import timm
from vitc.runtimes import ov
from vitc.runtimes.audit import audit, macs

openvino = pytest.importorskip("openvino")
SIZE = (3, 32, 32)
IMAGES = np.random.default_rng(0).standard_normal((5, *SIZE), dtype=np.float32)
BLOCK = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
LAYERS = {"patch_embed.proj", "head"} | {f"blocks.{i}.{layer}" for i in range(2) for layer in BLOCK}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ov")


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 7}
    module = timm.create_model("vit_tiny_patch16_224", **small)
    return Backbone("tiny", module.eval(), Preprocessing(SIZE), 7, ("cat",), "abc")


@pytest.fixture(scope="module")
def quantized(backbone: Backbone) -> Backbone:
    return Quantize().apply(backbone, [torch.from_numpy(IMAGES)])


@pytest.fixture(scope="module")
def vit(quantized: Backbone, folder: Path) -> Path:
    return to_openvino.write(quantized, folder / "vit").path


@pytest.fixture(scope="module")
def fixed(quantized: Backbone, folder: Path) -> Path:
    return to_openvino.write(quantized, folder / "fixed", Options(batch=2)).path


def in_torch(backbone: Backbone, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        found: np.ndarray[Any, Any] = backbone.module(torch.from_numpy(images)).numpy()
    return found


def test_a_session_runs_any_batch_and_tells_what_it_holds(vit: Path, quantized: Backbone) -> None:
    wanted = in_torch(quantized, IMAGES)
    with ov.OvSession(vit, threads=1) as session:
        assert session.input_shape == (None, *SIZE)
        assert session.metadata["vitc.weights_sha256"] == "abc"
        for images in (IMAGES, IMAGES[:1], IMAGES):
            assert np.abs(session.run(images) - wanted[: len(images)]).max() < 0.05 * np.abs(wanted).max()


def test_a_fixed_batch_takes_no_other(fixed: Path) -> None:
    with ov.OvSession(fixed) as session:
        assert session.input_shape == (2, *SIZE)
        assert session.run(IMAGES[:2]).shape == (2, 7)
        with pytest.raises(UserError, match="not 5 images"):
            session.run(IMAGES)


def test_answers_are_the_callers_to_keep(vit: Path) -> None:
    with ov.OvSession(vit, threads=1) as session:
        first = session.run(IMAGES[:1])
        kept = first.copy()
        session.run(IMAGES[1:2])
        np.testing.assert_array_equal(first, kept)


def test_it_keeps_to_its_threads_and_to_the_machines_floats(vit: Path) -> None:
    with ov.OvSession(vit, threads=1) as session:
        compiled = session.compiled(1)
        assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
        assert compiled.get_property("NUM_STREAMS") == 1
        floats = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    native = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert floats == ov.precision(openvino.Core())
    assert (floats == "bf16") == native


def test_every_quantized_linear_is_promised_and_kept(vit: Path) -> None:
    kernels, promised = ov.executed(vit, IMAGES[:1]), ov.promised(vit)
    assert set(promised.values()) == LAYERS
    found = audit(kernels, promised)
    assert (found.promised_pct, found.fallbacks) == (100, ())
    counted = {promised[kernel.name]: macs(kernel) for kernel in kernels if kernel.name in promised}
    assert counted["blocks.0.attn.qkv"] == 17 * 48 * 144
    assert counted["patch_embed.proj"] == 16 * 192 * 48
    attention = [kernel for kernel in kernels if kernel.name not in promised]
    whole, of_one_token = 3 * 17 * 16 * 17, 3 * 16 * 17  # the head reads one token of the last block
    assert [macs(kernel) for kernel in attention] == [whole, whole, of_one_token, of_one_token]
    assert {kernel.inputs[0][0] for kernel in attention} <= {"bf16", "f32", "f16"}
    integer = sum(counted.values())
    assert found.int8_macs_pct == round(100 * integer / (integer + 2 * whole + 2 * of_one_token), 2)


def test_float_files_promise_nothing_and_run_in_floats(backbone: Backbone, folder: Path) -> None:
    path = to_openvino.write(backbone, folder / "float").path
    found = audit(ov.executed(path, IMAGES[:1]), ov.promised(path))
    assert ov.promised(path) == {}
    assert set(found.macs_pct) == {ov.precision(openvino.Core())}


def test_a_planted_fallback_is_named_by_its_layer(vit: Path, tmp_path: Path) -> None:
    """Weights of 4 bits that nobody widens to 8: OpenVINO dequantizes them, and multiplies floats."""
    model = openvino.Core().read_model(vit)
    (head,) = (node for node in model.get_ops() if node.get_friendly_name() == promised_name(vit, "head"))
    convert = head.input_value(1).get_node().input_value(0).get_node()
    codes = convert.input_value(0).get_node()
    narrow = openvino.opset13.constant(codes.get_data() // 16, openvino.Type.i4)
    narrow.set_friendly_name(codes.get_friendly_name())
    convert.input(0).replace_source_output(narrow.output(0))
    openvino.save_model(model, tmp_path / "planted.xml", compress_to_fp16=False)
    found = audit(ov.executed(tmp_path / "planted.xml", IMAGES[:1]), ov.promised(tmp_path / "planted.xml"))
    assert [layer for layer, _ in found.fallbacks] == ["head"]
    assert found.promised_pct < 100


def promised_name(path: Path, layer: str) -> str:
    return next(name for name, found in ov.promised(path).items() if found == layer)


def test_every_convolution_runs_in_integers_or_is_named(folder: Path) -> None:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU())
    head = (nn.Conv2d(16, 32, 1), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5))
    made = Backbone("conv", nn.Sequential(*layers, *head).eval(), Preprocessing(SIZE), 5, (), "abc")
    quantized = Quantize(grouped=True).apply(made, [torch.from_numpy(IMAGES)])
    path = to_openvino.write(quantized, folder / "conv").path
    kernels, promised = ov.executed(path, IMAGES[:1]), ov.promised(path)
    assert set(promised.values()) == {"0", "2", "4", "8"}
    counted = {promised[kernel.name]: macs(kernel) for kernel in kernels}
    assert counted == {"0": 16 * 1024 * 27, "2": 16 * 1024 * 9, "4": 32 * 1024 * 16, "8": 160}
    found = audit(kernels, promised)
    assert (found.promised_pct == 100) == (found.fallbacks == ())
    wanted = in_torch(quantized, IMAGES)
    with ov.OvSession(path) as session:
        assert np.abs(session.run(IMAGES) - wanted).max() < 0.05 * np.abs(wanted).max()


def test_values_on_the_way_are_those_of_the_program(vit: Path, quantized: Backbone) -> None:
    found = ov.values(vit, IMAGES, ["linear_1", "nowhere", "linear_4"])
    assert found.keys() == {"linear_1", "linear_4"}
    wanted = drift.values(trace(quantized.module, SIZE), found.keys(), IMAGES)
    for name, value in found.items():
        one, other = value.ravel(), wanted[name].ravel()
        assert one @ other > 0.999 * np.linalg.norm(one) * np.linalg.norm(other)


def test_a_missing_file_is_the_users_to_mend(vit: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        ov.OvSession(tmp_path / "model.xml")
    (tmp_path / "alone.xml").write_bytes(vit.read_bytes())
    with pytest.raises(UserError, match=r"alone\.bin does not exist"):
        ov.OvSession(tmp_path / "alone.xml")


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(range(256)) * 9, b"<net/>"])
def test_garbage_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    for name in ("bad.xml", "bad.bin"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VerificationFailed, match="cannot load") as told:
        ov.OvSession(tmp_path / "bad.xml")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("file", "share"), [("xml", 0.5), ("xml", 0.999), ("bin", 0.0), ("bin", 0.5), ("bin", 0.999)])
def test_a_truncated_file_is_refused_in_one_line(vit: Path, file: str, share: float, tmp_path: Path) -> None:
    for suffix in ("xml", "bin"):
        content = vit.with_suffix(f".{suffix}").read_bytes()
        kept = content[: int(share * len(content))] if suffix == file else content
        (tmp_path / f"cut.{suffix}").write_bytes(kept)
    with pytest.raises(VerificationFailed, match="cannot load") as told:
        ov.OvSession(tmp_path / "cut.xml")
    assert "\n" not in str(told.value)


def test_without_openvino_it_says_what_to_install(vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda _: None)
    assert ov.missing() == "openvino is not installed: pip install openvino"
    with pytest.raises(NotAvailable, match="pip install openvino"):
        ov.OvSession(vit)
