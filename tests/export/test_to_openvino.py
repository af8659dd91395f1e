import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vitc import libraries
from vitc.compress.quantize import Quantize
from vitc.errors import NotAvailable, UserError
from vitc.export import to_openvino
from vitc.export.options import Options
from vitc.export.preflight import subject
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.timm_ready import timm

openvino = pytest.importorskip("openvino")
SIZE = (3, 32, 32)
IMAGES = torch.randn(5, *SIZE, generator=torch.Generator().manual_seed(0))


def wrapped(module: nn.Module, name: str = "tiny") -> Backbone:
    return Backbone(name, module.eval(), Preprocessing(SIZE), 7, ("cat", "é"), "abc")


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 7}
    module: Any = timm.create_model("vit_tiny_patch16_224", **small)
    for block in module.blocks:
        block.mlp.fc1.weight.data *= 20  # activations of a size that trained ones have
        for norm in (block.norm1, block.norm2):
            norm.weight.data += torch.rand(48)
            norm.bias.data += torch.rand(48)
    return wrapped(module)


@pytest.fixture(scope="module")
def quantized(backbone: Backbone) -> Backbone:
    return Quantize().apply(backbone, [IMAGES])


@pytest.fixture(scope="module")
def files(backbone: Backbone, quantized: Backbone, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("openvino")
    return {made.precision: to_openvino.write(made, folder / made.precision).path for made in (backbone, quantized)}


def answers(path: Path, images: Tensor) -> Any:
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(path, "CPU", exact)(images.numpy())[0]


def in_torch(backbone: Backbone, images: Tensor) -> Any:
    with torch.no_grad():
        return backbone.module(images).numpy()


def types(path: Path) -> list[str]:
    return [node.get_type_name() for node in openvino.Core().read_model(path).get_ops()]


@pytest.mark.parametrize("batch", [1, 5])
def test_the_float_file_answers_as_torch(files: dict[str, Path], backbone: Backbone, batch: int) -> None:
    wanted = in_torch(backbone, IMAGES[:batch])
    np.testing.assert_allclose(answers(files["fp32"], IMAGES[:batch]), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 5])
def test_the_quantized_file_answers_as_the_simulation(files: dict[str, Path], quantized: Backbone, batch: int) -> None:
    wanted = in_torch(quantized, IMAGES[:batch])
    assert np.abs(answers(files["int8"], IMAGES[:batch]) - wanted).max() < 0.03 * np.abs(wanted).max()


@pytest.mark.parametrize(("bits", "precision"), [(4, "int4"), (1, "binary")])
def test_narrow_weights_are_small_and_answer_as_the_simulation(
    backbone: Backbone, files: dict[str, Path], bits: int, precision: str, tmp_path: Path
) -> None:
    made = Quantize(weight_bits=bits).apply(backbone, [IMAGES])
    path = to_openvino.write(made, tmp_path).path
    wanted = in_torch(made, IMAGES)
    assert np.abs(answers(path, IMAGES) - wanted).max() < 0.03 * np.abs(wanted).max()
    narrow, wide = ((file.parent / to_openvino.WEIGHTS).stat().st_size for file in (path, files["int8"]))
    in_blocks = 2 * 12 * 48 * 48
    assert wide - narrow > 0.95 * (1 - bits / 8) * in_blocks
    assert openvino.Core().read_model(path).get_rt_info([to_openvino.NOTES, "vitc.precision"]).value == precision


def test_every_pass_finds_its_places(files: dict[str, Path]) -> None:
    kinds = types(files["int8"])
    assert kinds.count("ScaledDotProductAttention") == 2
    assert "Gelu" not in kinds
    # of the patches, of the attentions' results and of the class token; the others are spelt out
    assert kinds.count("FakeQuantize") == 4
    assert kinds.count("Round") == 6
    assert types(files["fp32"]).count("Gelu") == 2


def test_the_file_holds_codes_and_no_copy_of_the_float_weights(files: dict[str, Path]) -> None:
    model = openvino.Core().read_model(files["int8"])
    stored = {n.get_friendly_name(): n.get_data() for n in model.get_ops() if n.get_type_name() == "Constant"}
    codes = [data for data in stored.values() if data.dtype == np.int8]
    assert len(codes) == 10
    largest = max(data.size for data in stored.values() if data.dtype == np.float32)
    assert largest <= 17 * 48, "position embeddings are the largest floats"


def test_what_must_travel_with_the_file_does(files: dict[str, Path], backbone: Backbone) -> None:
    for precision, path in files.items():
        notes = openvino.Core().read_model(path).get_rt_info(to_openvino.NOTES).value
        assert json.loads(notes["vitc.preprocessing"]) == backbone.preprocessing.to_json()
        assert json.loads(notes["vitc.classes"]) == ["cat", "é"]
        assert (notes["vitc.weights_sha256"], notes["vitc.precision"]) == ("abc", precision)
        assert notes["vitc.name"] == "tiny"


def test_the_file_knows_nothing_of_the_machine(files: dict[str, Path]) -> None:
    places = [Path(to_openvino.__file__).parents[1], *(path.parent for path in files.values())]
    for path in files.values():
        content = path.read_text()
        assert [trace for trace in (*map(str, places), "/tmp", "model.onnx", "site-packages") if trace in content] == []  # noqa: S108  (looked for, not written to)


def test_writing_twice_gives_the_same_bytes(quantized: Backbone, files: dict[str, Path], tmp_path: Path) -> None:
    """OpenVINO counts the nodes that a process makes, and names them after that."""
    again = to_openvino.write(quantized, tmp_path / "some" / "where" / "else")
    for name in (to_openvino.FILE, to_openvino.WEIGHTS):
        assert (again.path.parent / name).read_bytes() == (files["int8"].parent / name).read_bytes()
    there = sorted(again.path.parent.iterdir())
    assert [file.name for file in there] == [to_openvino.WEIGHTS, to_openvino.FILE]
    assert again.bytes == sum(file.stat().st_size for file in there)


def test_other_weights_are_another_artifact(backbone: Backbone, tmp_path: Path) -> None:
    """The description is the same: the weights must count."""
    other = deepcopy(backbone.module)
    next(other.parameters()).data += 1
    first = to_openvino.write(backbone, tmp_path)
    description = first.path.read_bytes()
    second = to_openvino.write(replace(backbone, module=other), tmp_path)
    assert second.path.read_bytes() == description
    assert (first.bytes, first.sha256 == second.sha256) == (second.bytes, False)


def test_a_fixed_batch_is_fixed(backbone: Backbone, tmp_path: Path) -> None:
    path = to_openvino.write(backbone, tmp_path, Options(batch=2)).path
    assert list(openvino.Core().read_model(path).inputs[0].get_shape()) == [2, *SIZE]
    np.testing.assert_allclose(answers(path, IMAGES[:2]), in_torch(backbone, IMAGES[:2]), rtol=1e-4, atol=1e-4)


class Unknown(nn.Module):
    """No format but torch's own has an operator for it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Any:
        return self.head(torch.linalg.svdvals(images[:, 0, :4, :4]))


def test_preflight_tries_the_conversion(backbone: Backbone) -> None:
    assert list(to_openvino.check(subject(backbone, 8, Options(), IMAGES))) == []
    (found,) = to_openvino.check(subject(wrapped(Unknown(), "odd"), 8, Options(), IMAGES))
    assert found.fatal
    assert "aten._linalg_svd" in found.what
    assert "\n" not in str(found)


def test_what_openvino_refuses_is_told_in_one_line(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise RuntimeError("Check failed at some/file.cpp:116:\n\nOpenVINO does not support ONNX operations: X.Y\n  ")

    monkeypatch.setattr(openvino, "convert_model", refuse)
    with pytest.raises(UserError) as told:
        to_openvino.convert(backbone)
    assert str(told.value) == (
        "tiny cannot become OpenVINO IR: OpenVINO does not support ONNX operations: X.Y; "
        "replace it in the model, or choose another target"
    )


def test_without_openvino_it_says_what_to_install(
    backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda _: None)
    with pytest.raises(NotAvailable, match="pip install openvino"):
        to_openvino.write(backbone, tmp_path / "out")
    assert not (tmp_path / "out").exists()
