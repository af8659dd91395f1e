import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from vitc.compress.quantize import Quantize
from vitc.errors import VerificationFailed
from vitc.export import to_tensorrt, trt_build, trt_half
from vitc.export.options import Options
from vitc.export.preflight import Finding, subject
from vitc.export.trt_rules import PRODUCTS, check_file
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.timm_ready import timm

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
SIZE = (3, 32, 32)
HALF, FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT
BITS = {"fp32": None, "int8": 8, "int4": 4, "binary": 1}


class Convolutions(nn.Module):
    """Padded and depthwise convolutions with normalization and pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32)
        self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.wide, self.group = nn.Conv2d(32, 32, 1, bias=False), nn.GroupNorm(4, 32)
        self.head = nn.Linear(32, 5)

    def forward(self, images: Tensor) -> Tensor:
        found = self.depthwise(torch.relu(self.norm(self.stem(images))))
        found = found + self.group(self.wide(nn.functional.hardswish(found)))
        answer: Tensor = self.head(found.mean((2, 3)))
        return answer


def tiny_vit() -> nn.Module:
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 1, "num_heads": 2, "num_classes": 7}
    module: nn.Module = timm.create_model("vit_tiny_patch16_224", **small)
    return module


def wrapped(module: nn.Module, name: str = "tiny") -> Backbone:
    return Backbone(name, module.eval(), Preprocessing(SIZE), 7, ("cat", "é"), "abc")


def small() -> Backbone:
    return wrapped(nn.Sequential(nn.Flatten(), nn.Linear(3072, 5)))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(5, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def backbones(images: Tensor) -> dict[str, Backbone]:
    torch.manual_seed(0)
    vit = wrapped(tiny_vit())
    return {
        name: vit if bits is None else Quantize(weight_bits=bits, scheme="symmetric").apply(vit, [images])
        for name, bits in BITS.items()
    }


@pytest.fixture(scope="module")
def files(backbones: dict[str, Backbone], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tensorrt")
    return {name: to_tensorrt.write(made, folder / name).path for name, made in backbones.items()}


def answers(path: Path, images: Tensor) -> Tensor:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["logits"], {"image": images.numpy()})[0])


def in_torch(module: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = module(images)
    return found


def cosine(one: Tensor, other: Tensor) -> float:
    return nn.functional.cosine_similarity(one.double(), other.double()).min().item()


def plan(path: Path) -> Any:
    return json.loads((path.parent / "build.json").read_text("utf-8"))


def products(path: Path) -> list[ir.Node]:
    return [node for node in ir.load(path).graph if node.op_type in PRODUCTS]


@pytest.mark.parametrize("batch", [1, 5])
def test_the_float_file_answers_as_torch(
    files: dict[str, Path], backbones: dict[str, Backbone], images: Tensor, batch: int
) -> None:
    wanted = in_torch(backbones["fp32"].module, images[:batch])
    assert cosine(answers(files["fp32"], images[:batch]), wanted) > 0.9999


def test_the_int8_file_answers_as_the_simulation(
    files: dict[str, Path], backbones: dict[str, Backbone], images: Tensor
) -> None:
    assert cosine(answers(files["int8"], images), in_torch(backbones["int8"].module, images)) > 0.999


@pytest.mark.parametrize("precision", ["int4", "binary"])
def test_narrow_weights_meet_unrounded_activations(
    files: dict[str, Path], backbones: dict[str, Backbone], images: Tensor, precision: str
) -> None:
    """The file answers as a program whose narrow products read what stood before the rounding."""
    program = backbones[precision].module
    assert isinstance(program, GraphModule)
    unrounded = GraphModule(program, deepcopy(program.graph))
    for node in unrounded.graph.find_nodes(op="call_function", target=torch.ops.vitc.linear.default):
        if node.args[-1] != 8:
            node.replace_input_with(node.args[0], node.args[0].args[0])
    unrounded.recompile()
    assert cosine(answers(files[precision], images), in_torch(unrounded, images)) > 0.999


@pytest.mark.parametrize("precision", BITS)
def test_every_file_keeps_the_rules(files: dict[str, Path], precision: str) -> None:
    assert check_file(files[precision]) == []
    onnx.checker.check_model(onnx.load(files[precision]), full_check=True)


@pytest.mark.parametrize("precision", BITS)
def test_every_value_has_its_type(files: dict[str, Path], precision: str) -> None:
    """Products are float16, LayerNorm is float32, and so are the ends; a Cast stands wherever types meet."""
    graph = ir.load(files[precision]).graph
    assert (graph.inputs[0].dtype, graph.outputs[0].dtype) == (FLOAT, FLOAT)
    for node in graph:
        types = {value.dtype for value in node.inputs if value is not None} & {FLOAT, HALF}
        if node.op_type in PRODUCTS or node.op_type in {"Add", "Softmax", "Gelu", "QuantizeLinear"}:
            assert types == {HALF}, node
        elif node.op_type == "LayerNormalization":
            assert types == {FLOAT}, node
        elif node.op_type != "Cast":
            assert len(types) <= 1, node
    wide = {value.name for value in graph.initializers.values() if value.dtype == FLOAT}
    assert wide
    assert all("norm" in str(name) for name in wide), "float32 is kept for LayerNorm alone"


def test_only_inputs_of_products_are_quantized(files: dict[str, Path]) -> None:
    found = products(files["int8"])
    quantized = [node for node in found if {_made_by(node, 0), _made_by(node, 1)} == {"DequantizeLinear"}]
    assert len(quantized) == 4 + 2, "four linears a block, the patches and the head"
    assert len(found) - len(quantized) == 2, "the products of attention stay float"


@pytest.mark.parametrize("precision", ["int4", "binary"])
def test_four_bits_are_stored_where_they_fit(files: dict[str, Path], precision: str) -> None:
    graph = ir.load(files[precision]).graph
    packed = [value for value in graph.initializers.values() if value.dtype == ir.DataType.INT4]
    assert len(packed) == 4, "not the patches and not the head, whose codes have eight bits"
    if precision == "binary":
        codes = packed[0].const_value
        assert codes is not None
        assert set(np.unique(codes.numpy().astype(int))) == {-1, 1}
    assert [node.op_type for node in graph].count("QuantizeLinear") == 2
    assert files[precision].stat().st_size < 0.75 * files["int8"].stat().st_size


def _made_by(node: ir.Node, position: int) -> str:
    value = node.inputs[position]
    made = value.producer() if value is not None else None
    return made.op_type if made is not None else ""


def test_narrow_activations_keep_their_grid(images: Tensor, tmp_path: Path) -> None:
    """What lies beyond the ends of three bits is clipped there, not at the ends of a byte."""
    torch.manual_seed(0)
    flat = wrapped(nn.Sequential(nn.Flatten(), nn.Linear(3072, 4)))
    narrow = Quantize(activation_bits=3, scheme="symmetric").apply(flat, [images / 4])
    found = answers(to_tensorrt.write(narrow, tmp_path).path, images)
    assert cosine(found, in_torch(narrow.module, images)) > 0.999
    assert cosine(found, in_torch(flat.module, images)) < 0.99


def test_weights_of_narrow_activations_stay_in_bytes(images: Tensor, tmp_path: Path) -> None:
    """Half precision would undo the rounding that was asked for."""
    layers = (nn.Flatten(), nn.Linear(3072, 64), nn.Linear(64, 64), nn.Linear(64, 4))
    narrow = Quantize(weight_bits=4, activation_bits=3, scheme="symmetric").apply(
        wrapped(nn.Sequential(*layers)), [images]
    )
    path = to_tensorrt.write(narrow, tmp_path).path
    assert [found["promised"] for found in plan(path)["products"].values()] == ["int8"] * 3


def test_convolutions_stay_in_bytes(images: Tensor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = Quantize(weight_bits=4, scheme="symmetric").apply(wrapped(Convolutions()), [images])
    path = to_tensorrt.write(made, tmp_path).path
    assert not [value for value in ir.load(path).graph.initializers.values() if value.dtype == ir.DataType.INT4]
    assert check_file(path) == []
    assert cosine(answers(path, images), in_torch(made.module, images)) > 0.999


@pytest.mark.parametrize(("precision", "opset"), [("fp32", 20), ("int8", 20), ("int4", 21)])
def test_the_opset_is_the_oldest_that_holds_it(files: dict[str, Path], precision: str, opset: int) -> None:
    assert ir.load(files[precision]).opset_imports == {"": opset}


def test_writing_twice_gives_the_same_bytes(
    backbones: dict[str, Backbone], files: dict[str, Path], tmp_path: Path
) -> None:
    again = to_tensorrt.write(backbones["int4"], tmp_path / "elsewhere").path
    names = {file.name for file in again.parent.iterdir()}
    assert names == {"model.onnx", "build.json", "build.py"}
    for name in names:
        assert (again.parent / name).read_bytes() == (files["int4"].parent / name).read_bytes()


def test_where_it_cannot_be_built_the_note_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trt_build, "missing", lambda: "there is no GPU")
    stale = tmp_path / "model.trt10.3-orin-sm87.engine"
    stale.write_bytes(b"of the file before")
    made = to_tensorrt.write(small(), tmp_path)
    assert made.note.startswith("not built here: there is no GPU; copy ")
    assert "python build.py" in made.note
    assert not stale.exists(), "an engine of another file is not left to be served"


def test_where_it_can_be_built_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trt_build, "missing", lambda: None)
    monkeypatch.setattr(trt_build, "build", lambda folder: folder / "model.trt11.4-orin-sm87.engine")
    assert to_tensorrt.write(small(), tmp_path).note == "built model.trt11.4-orin-sm87.engine"

    def fails(folder: Path) -> Path:
        raise trt_build.BuildError("TensorRT cannot read the ONNX file")

    monkeypatch.setattr(trt_build, "build", fails)
    with pytest.raises(VerificationFailed, match="TensorRT cannot read the ONNX file"):
        to_tensorrt.write(small(), tmp_path)


def test_a_file_that_breaks_a_rule_is_not_written(
    backbones: dict[str, Backbone], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trt_half, "WIDE", frozenset())
    with pytest.raises(VerificationFailed, match=r"fp16-layernorm: node_layer_norm: .*cast to float32"):
        to_tensorrt.write(backbones["fp32"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def found_in(module: nn.Module, images: Tensor, bits: int | None = None) -> list[Finding]:
    return list(to_tensorrt.check(subject(wrapped(module), bits, Options(), images)))


def test_a_good_backbone_has_no_findings_but_for_what_was_wished(images: Tensor) -> None:
    assert found_in(small().module, images) == []
    assert [finding.rule for finding in found_in(small().module, images, 4)] == ["weight-only"]


class Enlarged(nn.Module):
    """Bicubic interpolation, which TensorRT's parser does not take."""

    def forward(self, images: Tensor) -> Tensor:
        larger = nn.functional.interpolate(images, scale_factor=2.0, mode="bicubic", align_corners=False)
        return larger.flatten(1)[:, :5]


class Ranked(nn.Module):
    """An operator that ONNX lacks."""

    def forward(self, images: Tensor) -> Tensor:
        return images.kthvalue(2, dim=1)[0].flatten(1)[:, :5]


def test_operators_that_the_parser_lacks_are_found(images: Tensor) -> None:
    (finding,) = found_in(Enlarged(), images)
    assert (finding.rule, finding.fatal) == ("operator", True)
    assert "cubic" in finding.what


def test_what_onnx_lacks_is_found(images: Tensor) -> None:
    (finding,) = found_in(Ranked(), images)
    assert (finding.rule, finding.fatal, finding.mend) == ("onnx", True, "replace it in the model")
    assert "aten.kthvalue" in finding.what


def test_widths_are_those_of_every_buffer_of_codes(backbones: dict[str, Backbone]) -> None:
    buffers = dict(backbones["int4"].module.named_buffers())
    bits = to_tensorrt.widths(backbones["int4"].module)
    assert set(bits) == {name for name in buffers if name.endswith("_codes")}
    assert set(bits.values()) == {4, 8}
    assert to_tensorrt.widths(backbones["fp32"].module) == {}
