"""A planted fault is found: another answer, a layer that falls back to float, a drift of the accuracy."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir
import pytest
import torch
from torch import nn

from vitc.checks import Batches, Served, checked, drifted, parity_images, slower, verify
from vitc.compress.quantize import Quantize
from vitc.export import TARGETS
from vitc.export.artifact import Artifact, artifact
from vitc.export.options import DEFAULTS, Options
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.decode import Pixels
from vitc.reports import record as records
from vitc.runtimes import RUNTIMES
from vitc.runtimes.eager import run
from vitc.scoring import Score
from vitc.variants import Variant

PREPROCESSING = Preprocessing((3, 8, 8))
IMAGES = 400


class Tokens(nn.Module):
    """Two linears over four tokens, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.head = nn.Linear(48, 32), nn.Linear(32, 32), nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.reshape(-1, 4, 48)
        hidden = nn.functional.gelu(self.fc1(tokens))
        return torch.as_tensor(self.head(nn.functional.gelu(self.fc2(hidden)).mean(1)))


@pytest.fixture
def pixels() -> Pixels:
    content = np.random.default_rng(0).integers(0, 256, (IMAGES, *PREPROCESSING.input_size), dtype=np.uint8)
    return Pixels(content, np.zeros(IMAGES, dtype=np.int64), tuple(map(str, range(IMAGES))), (), PREPROCESSING)


@pytest.fixture
def images(pixels: Pixels) -> Batches:
    return parity_images(pixels, PREPROCESSING, 0)


@pytest.fixture
def backbone(pixels: Pixels) -> Backbone:
    torch.manual_seed(0)
    made = Backbone("tokens", Tokens().eval(), PREPROCESSING, 4, (), "abc")
    return Quantize().apply(made, pixels.batches(100))


@pytest.fixture
def made(backbone: Backbone, tmp_path: Path) -> Artifact:
    return TARGETS["onnx"].write(backbone, tmp_path / "onnx", DEFAULTS)


def changed(made: Artifact, suffix: str, change: np.ufunc) -> Artifact:
    """The artifact with an initializer changed."""
    model = onnx_ir.load(made.path)
    (value,) = (value for name, value in model.graph.initializers.items() if name.endswith(suffix))
    assert value.const_value
    value.const_value = onnx_ir.tensor(change(value.const_value.numpy()), name=value.name)
    onnx_ir.save(model, made.path)
    return artifact(made.precision, made.format, made.path)


def with_rank_1_biases(made: Artifact) -> Artifact:
    """The artifact with every bias in the shape that makes onnxruntime merge it into a float Gemm."""
    model = onnx_ir.load(made.path)
    for node in model.graph:
        squeezed = any(user.op_type == "Squeeze" for user in node.outputs[0].consumers())
        bias = node.inputs[1] if node.op_type == "Add" and not squeezed else None
        if bias is not None and bias.const_value is not None and len(bias.const_value.shape) == 3:
            flat = onnx_ir.Value(name=f"{bias.name}_flat", const_value=onnx_ir.tensor(bias.const_value.numpy().ravel()))
            model.graph.register_initializer(flat)
            node.replace_input_with(1, flat)
    onnx_ir.save(model, made.path)
    return artifact(made.precision, made.format, made.path)


def test_a_true_artifact_has_no_complaints(backbone: Backbone, made: Artifact, images: Batches, tmp_path: Path) -> None:
    found = checked(made, verify(backbone, made, images), tmp_path, allow_fallback=False)
    assert found.complaints == ()
    assert found.row.path == "onnx/model.onnx"
    assert found.row.parity
    assert found.row.parity.images == 64
    assert found.row.audit
    assert (found.row.audit.promised_pct, found.row.audit.int8_macs_pct) == (100, 100)
    assert found.row.audit.macs_pct == {"int8": 100}


def test_another_answer_is_a_complaint(backbone: Backbone, made: Artifact, images: Batches, tmp_path: Path) -> None:
    wrong = changed(made, "head.weight_codes", np.negative)
    (complaint,) = checked(wrong, verify(backbone, wrong, images), tmp_path, allow_fallback=False).complaints
    assert "simulation's class" in complaint


def test_rank_1_biases_fall_back_to_float_and_fail(backbone: Backbone, images: Batches, tmp_path: Path) -> None:
    planted = with_rank_1_biases(TARGETS["onnx"].write(backbone, tmp_path / "onnx", Options(batch=2)))
    found = verify(backbone, planted, images)
    (complaint,) = checked(planted, found, tmp_path, allow_fallback=False).complaints
    assert "fc1" in complaint
    assert "Gemm on float" in complaint
    assert "--allow-fallback" in complaint
    allowed = checked(planted, found, tmp_path, allow_fallback=True)
    assert allowed.complaints == ()
    assert allowed.row.audit
    assert allowed.row.audit.promised_pct < 100


def test_what_no_engine_here_opens_is_not_judged(
    backbone: Backbone, made: Artifact, images: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RUNTIMES, "onnxruntime", replace(RUNTIMES["onnxruntime"], missing=lambda: "gone: get it"))
    found = checked(made, verify(backbone, made, images), tmp_path, allow_fallback=False)
    assert (found.row.parity, found.row.audit, found.complaints) == (None, None, ())


def test_of_a_rival_only_the_audit_is_known(made: Artifact, images: Batches, tmp_path: Path) -> None:
    row = checked(made, verify(None, made, images), tmp_path, allow_fallback=False).row
    assert row.parity is None
    assert row.audit


@pytest.fixture
def served(backbone: Backbone, made: Artifact) -> Served:
    return Served(Variant(backbone, Path("out")), made, RUNTIMES["onnxruntime"])


def scored(served: Served, pixels: Pixels, folder: Path) -> Score:
    """Both programs' answers, as a run keeps them; the labels are what the simulation says."""
    truth = np.concatenate([run(served.variant.backbone.module, b.numpy()).argmax(1) for b in pixels.batches(100)])
    score = Score(replace(pixels, labels=truth), folder)
    score.score(served.variant.simulation, lambda batch: run(served.variant.backbone.module, batch), lambda _: None)
    with served.runtime.open(served.artifact.path, None) as session:
        score.score(f"{served.artifact.name} {served.runtime.name}", session.run, lambda _: None)
    return score


def test_equal_accuracy_is_no_drift(served: Served, pixels: Pixels, tmp_path: Path) -> None:
    assert drifted(served, scored(served, pixels, tmp_path)) is None
    assert drifted(served, Score(None, tmp_path)) is None


def test_a_drift_names_the_first_layer_that_differs(served: Served, pixels: Pixels, tmp_path: Path) -> None:
    wrong = replace(served, artifact=changed(served.artifact, "fc2.weight_codes", np.negative))
    complaint = drifted(wrong, scored(wrong, pixels, tmp_path))
    assert complaint
    assert "drifts by -" in complaint
    assert complaint.endswith("the first layer that differs is fc2")


@pytest.mark.parametrize(("interval", "found"), [((0.9, 0.99), 1), ((0.9, 1.01), 0)])
def test_fewer_tokens_that_take_longer_are_told(
    made: Artifact, backbone: Backbone, tmp_path: Path, interval: tuple[float, float], found: int
) -> None:
    def measured(name: str) -> records.Measurement:
        speedup = records.Speedup("fp32/onnx", 0.95, interval)
        return records.Measurement(name, "onnxruntime", 1, 1, None, speedup, None, records.Energy(None), None, None, 0)

    floats = replace(made, precision="fp32")
    thinned = Variant(replace(backbone, precision="fp32", form=("merge 8",)), tmp_path)
    several = [
        (thinned, replace(floats, name="merge-fp32/onnx")),
        (thinned, replace(made, name="merge-int8/onnx")),
        (Variant(replace(backbone, precision="fp32"), tmp_path), replace(floats, name="again/onnx")),
    ]
    complaints = list(slower(several, [measured(artifact.name) for _, artifact in several]))
    assert len(complaints) == found
    assert all(one.startswith("merge-fp32/onnx takes longer on onnxruntime than fp32/onnx: 0.95") for one in complaints)


def test_noise_stands_in_for_images() -> None:
    one, two = parity_images(None, PREPROCESSING, 1), parity_images(None, PREPROCESSING, 1)
    assert sum(map(len, one)) == 64
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
