import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vitc.compress.quantize import Quantize
from vitc.errors import UserError
from vitc.export import to_coreml
from vitc.export.options import Options
from vitc.export.preflight import Subject
from vitc.models import saved
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.program import trace
from vitc.models.timm_ready import timm
from vitc.runtimes.mil import MilSession
from vitc.runtimes.mil_package import main_function, open_package

pytest.importorskip("coremltools")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec:FutureWarning")

SIZE = (3, 32, 32)
LEAST_COSINE = {"fp32": 0.9999, "int8": 0.999, "int4": 0.999, "binary2": 0.999, "binary": 0.999}
UNFOLDS = {
    "fp32": {},
    "int8": {"constexpr_affine_dequantize": 10},
    "int4": {"constexpr_blockwise_shift_scale": 10},
    "binary2": {"constexpr_blockwise_shift_scale": 2, "constexpr_lut_to_dense": 8},
    "binary": {"constexpr_blockwise_shift_scale": 2, "constexpr_lut_to_dense": 8},
}
"""What unfolds the weights of ten layers; the first and the last keep eight bits."""
AGAIN = """
import sys
from pathlib import Path

import vitc
from vitc.export import to_coreml

print(to_coreml.write(vitc.load(sys.argv[1]), Path(sys.argv[2])).sha256)
"""


class Stranger(nn.Module):
    """Does something that coremltools has no word for."""

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = torch.special.erfcx(images)
        return found.mean((2, 3))


class Sampler(nn.Module):
    """Calls what coremltools has a word for in a way that it does not understand."""

    def forward(self, images: Tensor) -> Tensor:
        grid = images[:, :2].permute(0, 2, 3, 1)
        return nn.functional.grid_sample(images, grid, mode="bicubic", align_corners=False).mean((2, 3))


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 7}
    module: nn.Module = timm.create_model("vit_tiny_patch16_224", **small)
    return Backbone("tiny", module.eval(), Preprocessing(SIZE), 7, ("cat", "é"), "abc")


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(5, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=UNFOLDS)
def made(request: pytest.FixtureRequest, backbone: Backbone, images: Tensor) -> Backbone:
    """The backbone in one precision."""
    if request.param == "fp32":
        return backbone
    bits = {"binary": 1, "binary2": 2}.get(request.param) or int(request.param.removeprefix("int"))
    return Quantize(weight_bits=bits, scheme="symmetric").apply(backbone, [images])


@pytest.fixture(scope="module")
def package(made: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_coreml.write(made, tmp_path_factory.mktemp(made.precision)).path


def in_torch(module: nn.Module, images: Tensor) -> Any:
    with torch.no_grad():
        return module(images).numpy()


def answers(path: Path, images: Tensor) -> Any:
    with MilSession(path) as session:
        size = session.input_shape[0] or 1
        return np.concatenate([session.run(part.numpy()) for part in images.split(size)])


def subject(backbone: Backbone, options: Options, peaks: dict[str, float] | None = None) -> Subject:
    return Subject(backbone, trace(backbone.module, backbone.preprocessing.input_size), peaks or {}, 8, options)


def test_the_package_answers_as_torch(made: Backbone, package: Path, images: Tensor) -> None:
    wanted, found = in_torch(made.module, images), answers(package, images)
    cosine = (wanted * found).sum(1) / np.linalg.norm(wanted, axis=1) / np.linalg.norm(found, axis=1)
    assert cosine.min() >= LEAST_COSINE[made.precision]


def test_weights_are_stored_as_codes_and_values_rounded_where_the_simulation_does(
    made: Backbone, package: Path
) -> None:
    function = main_function(open_package(package))
    found = Counter(op.op_type for op in function.operations)
    assert {name: count for name, count in found.items() if name.startswith("constexpr")} == UNFOLDS[made.precision]
    rounds = 0 if made.precision == "fp32" else len({n.args[0] for n in quantizers(made)})
    assert found["quantize"] == found["dequantize"] == rounds
    layers = [op for op in function.operations if op.op_type in ("linear", "conv")]
    assert len(layers) == 10
    kinds = {op.inputs["weight"].op.op_type.partition("_")[0] for op in layers}
    assert kinds == ({"const"} if made.precision == "fp32" else {"constexpr"})


def test_the_program_computes_in_16_bits(package: Path) -> None:
    from coremltools.converters.mil.mil import types

    function = main_function(open_package(package))
    kinds = {op.outputs[0].dtype for op in function.operations if op.op_type not in ("const", "cast")}
    assert types.fp16 in kinds
    assert types.fp32 not in kinds


def test_codes_are_packed(package: Path, made: Backbone) -> None:
    weights = sum(p.numel() for p in made.module.parameters()) + sum(b.numel() for b in made.module.buffers())
    stored = (package / "Data/com.apple.CoreML/weights/weight.bin").stat().st_size
    limit = {"fp32": 2.1, "int8": 1.5, "int4": 1.0, "binary2": 0.9, "binary": 0.8}[made.precision]
    assert stored < limit * weights


def test_the_notes_travel_with_it(package: Path, made: Backbone) -> None:
    with MilSession(package) as session:
        notes = session.metadata
    assert notes["vitc.precision"] == made.precision
    assert json.loads(notes["vitc.classes"]) == ["cat", "é"]
    assert json.loads(notes["vitc.preprocessing"]) == made.preprocessing.to_json()
    assert notes["vitc.deployment_target"] == ("iOS17" if made.precision in ("fp32", "int8") else "iOS18")
    assert notes["vitc.input"] == "normalized"
    assert all(key.startswith("vitc.") for key in notes), "coremltools' notes have the date"


def test_the_same_program_gives_the_same_bytes(made: Backbone, package: Path, tmp_path: Path) -> None:
    again = to_coreml.write(made, tmp_path)
    files = sorted(file.relative_to(package) for file in package.rglob("*") if file.is_file())
    assert files == sorted(file.relative_to(again.path) for file in again.path.rglob("*") if file.is_file())
    assert all((package / file).read_bytes() == (again.path / file).read_bytes() for file in files)
    assert list(tmp_path.iterdir()) == [again.path]


def test_another_process_gives_the_same_bytes(backbone: Backbone, images: Tensor, tmp_path: Path) -> None:
    program = tmp_path / "a.pt2"
    saved.save(Quantize(weight_bits=4, scheme="symmetric").apply(backbone, [images]), program)
    here = to_coreml.write(saved.load(str(program)), tmp_path / "here")
    words = [sys.executable, "-W", "ignore", "-c", AGAIN, str(program), str(tmp_path / "there")]
    environment = {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == here.sha256
    assert not ran.stderr, "coremltools' remarks are for nobody"


def test_nothing_else_is_left_on_the_disk(backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    to_coreml.write(backbone, tmp_path / "out")
    assert not list(scratch.iterdir())


@pytest.mark.parametrize(("batch", "size"), [(None, 1), (1, 1), (3, 3)])
def test_the_batch_is_fixed(batch: int | None, size: int, backbone: Backbone, images: Tensor, tmp_path: Path) -> None:
    path = to_coreml.write(backbone, tmp_path, Options(batch=batch)).path
    with MilSession(path) as session:
        assert session.input_shape == (size, *SIZE)
        found = session.run(images[:size].numpy())
    np.testing.assert_allclose(found, in_torch(backbone.module, images[:size]), rtol=0.02, atol=0.02)


def test_an_operator_without_a_translation_is_refused_before_and_when_writing(tmp_path: Path) -> None:
    stranger = Backbone("stranger", Stranger(), Preprocessing(SIZE), 3, (), "")
    (found,) = to_coreml.check(subject(stranger, Options(batch=1)))
    assert found.fatal
    assert "aten::special_erfcx" in found.what
    with pytest.raises(UserError, match=r"stranger cannot become Core ML: .*special_erfcx"):
        to_coreml.write(stranger, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_form_that_cannot_be_translated_is_refused_before(tmp_path: Path) -> None:
    sampler = Backbone("sampler", Sampler(), Preprocessing(SIZE), 3, (), "")
    (found,) = to_coreml.check(subject(sampler, Options(batch=1)))
    assert found.fatal
    assert found.rule == "translation"
    with pytest.raises(UserError, match="sampler cannot become Core ML"):
        to_coreml.write(sampler, tmp_path)


def test_preflight_has_nothing_against_what_can_be_written(backbone: Backbone) -> None:
    assert not list(to_coreml.check(subject(backbone, Options(batch=1))))


def test_preflight_tells_of_values_that_do_not_fit(backbone: Backbone) -> None:
    planted = subject(backbone, Options(batch=1), {"linear": 1e5})
    (found,) = to_coreml.check(planted)
    assert found.fatal
    assert found.where == "linear"


def quantizers(made: Backbone) -> list[Any]:
    graph: Any = made.module.graph
    return [node for node in graph.nodes if node.target is torch.ops.vitc.quantize.default]
