import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import pytest
import torch
from torch import Tensor, nn

from vitc.compress.quantize import Quantize
from vitc.errors import UserError
from vitc.export import preflight, to_onnx
from vitc.export.options import DEFAULTS, Options
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.timm_ready import timm

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
SIZE = (3, 32, 32)


class Ranks(nn.Module):
    """Linears of rank 4, 3 and 2, with and without a bias, after padded and depthwise convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.patches = nn.Conv2d(8, 12, 4, stride=4, bias=False)
        self.four, self.three = nn.Linear(12, 10), nn.Linear(10, 9, bias=False)
        self.two, self.head = nn.Linear(9, 8), nn.Linear(8, 5, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        found = self.depthwise(torch.relu(self.norm(self.stem(images))))
        found = self.four(self.patches(torch.relu(found)).permute(0, 2, 3, 1))
        found = self.three(nn.functional.gelu(found).flatten(1, 2)).mean(1)
        answer: Tensor = self.head(nn.functional.gelu(self.two(found)))
        return answer


def tiny_vit() -> nn.Module:
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 7}
    module: nn.Module = timm.create_model("vit_tiny_patch16_224", **small)
    return module


def wrapped(module: nn.Module, name: str = "tiny") -> Backbone:
    return Backbone(name, module.eval(), Preprocessing(SIZE), 7, ("cat", "é"), "abc")


@pytest.fixture(scope="module", params=[tiny_vit, Ranks], ids=["vit", "ranks"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    torch.manual_seed(0)
    return wrapped(request.param())


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(5, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def quantized(backbone: Backbone, images: Tensor) -> Backbone:
    return Quantize(grouped=True).apply(backbone, [images])


@pytest.fixture(scope="module")
def files(backbone: Backbone, quantized: Backbone, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("onnx")
    return {made.precision: to_onnx.write(made, folder / made.precision).path for made in (backbone, quantized)}


def answers(path: Path, images: Tensor) -> Tensor:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run([to_onnx.OUTPUT], {to_onnx.INPUT: images.numpy()})[0])


def in_torch(backbone: Backbone, images: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = backbone.module(images)
    return found


@pytest.mark.parametrize("batch", [1, 5])
def test_the_float_file_answers_as_torch(
    files: dict[str, Path], backbone: Backbone, images: Tensor, batch: int
) -> None:
    wanted = in_torch(backbone, images[:batch])
    torch.testing.assert_close(answers(files["fp32"], images[:batch]), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 5])
def test_the_quantized_file_answers_as_the_simulation(
    files: dict[str, Path], quantized: Backbone, images: Tensor, batch: int
) -> None:
    wanted = in_torch(quantized, images[:batch])
    found = answers(files["int8"], images[:batch])
    assert (found - wanted).abs().max() < 0.02 * wanted.abs().max()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_only_standard_operators_are_used(files: dict[str, Path], precision: str) -> None:
    model = onnx.load(files[precision])
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", to_onnx.OPSET)]
    assert not model.functions
    onnx.checker.check_model(model, full_check=True)


def test_weights_are_stored_as_codes_and_nothing_else(files: dict[str, Path], quantized: Backbone) -> None:
    graph = onnx.load(files["int8"]).graph
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    buffers = {name: buffer.numpy() for name, buffer in quantized.module.named_buffers() if name.endswith("_codes")}
    codes = {name: array for name, array in stored.items() if array.dtype == np.int8 and array.ndim}
    whole = {name: np.concatenate([c for n, c in codes.items() if n.split("/")[0] == name], -1) for name in buffers}
    assert {name.split("/")[0] for name in codes} == buffers.keys()
    # In another order where a convolution became a product.
    assert all(np.array_equal(np.sort(whole[name], None), np.sort(buffers[name], None)) for name in buffers)
    smallest = min(array.size for array in codes.values())
    floats = {name for name, array in stored.items() if array.dtype == np.float32 and array.size >= smallest}
    assert floats <= {"pos_embed"}, "a float copy of a quantized weight was left"


def test_weights_and_biases_have_the_form_that_runtimes_fuse(files: dict[str, Path]) -> None:
    graph = onnx.load(files["int8"]).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    made_by = {value: node for node in graph.node for value in node.output}
    products = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in made_by]
    linears = [node for node in products if made_by[node.input[1]].op_type == "DequantizeLinear"]
    assert len(linears) >= 5
    for node in linears:
        dequantize = made_by[node.input[1]]
        axis = {a.name: a.i for a in dequantize.attribute}.get("axis", 1)
        (_, columns), scales = shapes[dequantize.input[0]], shapes[dequantize.input[1]]
        assert (axis, scales) == (1, [columns])
        for reader in (other for other in graph.node if other.op_type == "Add" and node.output[0] in other.input):
            (bias,) = [name for name in reader.input if name in shapes]
            assert len(shapes[bias]) >= 3, "a bias of rank 1 becomes a float Gemm"
            assert shapes[bias][:-1] == [1] * (len(shapes[bias]) - 1)


def test_what_must_travel_with_the_file_does(files: dict[str, Path], backbone: Backbone) -> None:
    for precision, path in files.items():
        notes = {note.key: note.value for note in onnx.load(path).metadata_props}
        assert json.loads(notes["vitc.preprocessing"]) == backbone.preprocessing.to_json()
        assert json.loads(notes["vitc.classes"]) == ["cat", "é"]
        assert (notes["vitc.weights_sha256"], notes["vitc.precision"]) == ("abc", precision)
        assert notes["vitc.name"] == "tiny"


def test_the_file_knows_nothing_of_the_machine(files: dict[str, Path]) -> None:
    places = [Path(to_onnx.__file__).parents[1], Path(torch.__file__).parent, *(path.parent for path in files.values())]
    traces = [*map(str, places), "site-packages", "forward(", "torch.nn", "call_function"]
    for path in files.values():
        content = path.read_bytes()
        assert [trace for trace in traces if trace.encode() in content] == []


def test_writing_twice_gives_the_same_bytes(quantized: Backbone, files: dict[str, Path], tmp_path: Path) -> None:
    again = to_onnx.write(quantized, tmp_path / "some" / "where" / "else")
    assert again.path.read_bytes() == files["int8"].read_bytes()
    assert again.bytes == len(again.path.read_bytes())
    assert [file.name for file in again.path.parent.iterdir()] == [to_onnx.FILE]


def test_a_fixed_batch_is_fixed(backbone: Backbone, images: Tensor, tmp_path: Path) -> None:
    made = to_onnx.write(backbone, tmp_path, Options(batch=2))
    (value,) = onnx.load(made.path).graph.input
    assert [size.dim_value for size in value.type.tensor_type.shape.dim] == [2, *SIZE]
    found = answers(made.path, images[:2])
    torch.testing.assert_close(found, in_torch(backbone, images[:2]), rtol=1e-4, atol=1e-4)
    with pytest.raises(runtime.capi.onnxruntime_pybind11_state.InvalidArgument):
        answers(made.path, images)


class Through(nn.Module):
    """A linear after some function of a 4 x 4 corner."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.head = function, nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Any:
        return self.head(self.function(images[:, 0, :4, :4]))


@pytest.mark.parametrize(
    ("function", "operator"),
    [(torch.linalg.svdvals, "aten._linalg_svd"), (lambda x: x.kthvalue(2)[0], "aten.kthvalue")],
    ids=["svdvals", "kthvalue"],
)
def test_an_operator_that_onnx_lacks_is_named_in_one_line(
    function: Callable[[Tensor], Tensor], operator: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as told:
        to_onnx.write(wrapped(Through(function), "odd"), tmp_path / "out")
    assert str(told.value) == (
        f"odd cannot become ONNX: there is no translation of {operator}; replace it in the model"
    )
    assert not (tmp_path / "out").exists()


def test_narrow_activations_are_clipped_to_their_grid(images: Tensor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = Quantize(activation_bits=3).apply(wrapped(nn.Sequential(nn.Flatten(), nn.Linear(3072, 4))), [images / 4])
    found = answers(to_onnx.write(replace(made, precision="w8a3"), tmp_path).path, images)
    torch.testing.assert_close(found, in_torch(made, images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_a_quantized_linear_keeps_its_rank(rank: int, tmp_path: Path) -> None:
    class Offset(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.linear = nn.Parameter(torch.randn([2] * (rank - 1) + [6])), nn.Linear(6, 5)

        def forward(self, images: Tensor) -> Tensor:
            offset: Tensor = self.linear(self.tokens).reshape(-1, 5).sum(0)
            return images.flatten(1)[:, :5] + offset

    torch.manual_seed(0)
    images = torch.randn(3, *SIZE)
    made = Quantize().apply(wrapped(Offset()), [images])
    found = answers(to_onnx.write(made, tmp_path).path, images)
    torch.testing.assert_close(found, in_torch(made, images), rtol=1e-4, atol=1e-4)


def test_integer_convolutions_add_up_as_the_simulation(tmp_path: Path) -> None:
    """Large weights of one sign stand side by side in the channels alone, and a channel is dead but for its bias."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 8, 3, padding=1)
    weight = torch.zeros(8, 16, 9)
    weight[:, :, ::2] = 1 - 0.1 * torch.rand(8, 16, 5)
    weight[:, 1::2, 0] = 0
    weight[2] = 1e-30
    with torch.no_grad():
        second.weight.copy_(weight.view(8, 16, 3, 3))
        second.bias[2] = 9.0  # type: ignore[index]
        first.weight.fill_(1.0)
    layers = (first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 32 * 32, 4))
    images = torch.ones(2, *SIZE)
    made = Quantize(grouped=True).apply(wrapped(nn.Sequential(*layers)), [images])
    path = to_onnx.write(made, tmp_path).path
    wanted = in_torch(made, images)
    assert (answers(path, images) - wanted).abs().max() < 1e-2 * wanted.abs().max()


def rules(backbone: Backbone, weight_bits: int | None = 8, options: Options = DEFAULTS) -> dict[str, bool]:
    """What the preflight finds: rule -> whether it is fatal."""
    subject = preflight.subject(backbone, weight_bits, options, torch.zeros(1, *SIZE))
    return {finding.rule: finding.fatal for finding in to_onnx.check(subject)}


def test_preflight_finds_nothing_wrong_with_a_vit() -> None:
    assert rules(wrapped(tiny_vit())) == {}


def test_preflight_names_the_operator_that_onnx_lacks() -> None:
    subject = preflight.subject(wrapped(Through(torch.linalg.svdvals), "odd"), 8, DEFAULTS, torch.zeros(1, *SIZE))
    (finding,) = to_onnx.check(subject)
    assert finding.fatal
    assert "aten._linalg_svd" in finding.what
    assert finding.mend == "replace it in the model"


def test_preflight_says_that_images_come_prepared() -> None:
    assert rules(wrapped(tiny_vit()), options=Options(image_input=True)) == {"onnx-image-input": False}


@pytest.mark.parametrize(("weight_bits", "wanted"), [(None, {"onnx-size": True}), (8, {})], ids=["float", "int8"])
def test_preflight_knows_how_much_a_file_holds(weight_bits: int | None, wanted: dict[str, bool]) -> None:
    subject = preflight.subject(wrapped(tiny_vit()), weight_bits, DEFAULTS, torch.zeros(1, *SIZE))
    subject.program.register_parameter("large", nn.Parameter(torch.empty(2**29, device="meta")))
    assert {finding.rule: finding.fatal for finding in to_onnx.check(subject)} == wanted


def test_what_one_target_does_to_its_model_no_other_sees(backbone: Backbone) -> None:
    first, second = to_onnx.translate(backbone), to_onnx.translate(backbone)
    for node in first.graph:
        for value in node.outputs:
            value.dtype, value.shape, value.name = onnx_ir.DataType.FLOAT16, None, f"{value.name}_other"
    assert onnx_ir.to_proto(second) == onnx_ir.to_proto(to_onnx.translate(backbone))
    assert onnx_ir.DataType.FLOAT16 not in {value.dtype for node in second.graph for value in node.outputs}
