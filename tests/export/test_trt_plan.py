import hashlib
import json
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest
import torch
from torch import nn

from vitc.compress.quantize import Quantize
from vitc.errors import UserError
from vitc.export import to_tensorrt, trt_build
from vitc.export.options import Options
from vitc.export.trt_plan import profile_of, shapes_of_one
from vitc.export.trt_rules import PRODUCTS
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.timm_ready import timm

pytest.importorskip("onnx")
SIZE = (3, 32, 32)


def tiny_vit() -> Backbone:
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 1, "num_heads": 2, "num_classes": 7}
    module: nn.Module = timm.create_model("vit_tiny_patch16_224", **small)
    return Backbone("tiny", module.eval(), Preprocessing(SIZE), 7, ("cat", "é"), "abc")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with 4-bit weights and a free batch, and what lies beside it."""
    torch.manual_seed(0)
    made = Quantize(weight_bits=4, scheme="symmetric").apply(tiny_vit(), [torch.randn(2, *SIZE)])
    return to_tensorrt.write(made, tmp_path_factory.mktemp("plan")).path


def plan(path: Path) -> Any:
    return json.loads((path.parent / "build.json").read_text("utf-8"))


def test_the_plan_says_all_that_a_build_needs(path: Path) -> None:
    told = plan(path)
    assert told["onnx_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told["profile"] == {"image": {"min": [1, *SIZE], "opt": [1, *SIZE], "max": [8, *SIZE]}}
    assert told["metadata"]["vitc.precision"] == "int4"
    assert json.loads(told["metadata"]["vitc.classes"]) == ["cat", "é"]
    assert told["trtexec"] == trt_build.trtexec(told)
    assert (path.parent / "build.py").read_text("utf-8") == Path(trt_build.__file__).read_text("utf-8")


def test_the_plan_knows_every_product(path: Path) -> None:
    told = plan(path)["products"]
    assert told.keys() == {str(node.name) for node in ir.load(path).graph if node.op_type in PRODUCTS}
    layers = {found["layer"]: found for found in told.values()}
    assert layers.keys() == {
        None,
        "patch_embed.proj",
        *(f"blocks.0.{name}" for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")),
        "head",
    }
    qkv, head = layers["blocks.0.attn.qkv"], layers["head"]
    assert (qkv["promised"], qkv["inputs"], qkv["output"]) == ("int4", [[1, 17, 64], [64, 192]], [1, 17, 192])
    assert (head["promised"], head["inputs"][1]) == ("int8", [64, 7])
    assert layers[None]["promised"] == "fp16"


def test_layers_of_a_float_backbone_are_known(tmp_path: Path) -> None:
    made = to_tensorrt.write(tiny_vit(), tmp_path, Options(batch=2)).path
    found = [product["layer"] for product in plan(made)["products"].values()]
    assert {"patch_embed.proj", "head"} <= set(found)
    assert {product["promised"] for product in plan(made)["products"].values()} == {"fp16"}
    assert plan(made)["profile"] == {}, "a fixed batch needs none"


def test_shapes_follow_from_one_image(path: Path) -> None:
    shapes = shapes_of_one(ir.load(path))
    assert all(shape is not None and all(isinstance(size, int) for size in shape) for shape in shapes.values())


def test_only_free_inputs_have_a_profile() -> None:
    def image(*sizes: int | str) -> ir.Model:
        value = ir.Value(name="image", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(sizes))
        return ir.Model(ir.Graph([value], [], nodes=[], opset_imports={"": 20}), ir_version=10)

    assert profile_of(image(2, 3, 8, 8)) == {}
    assert profile_of(image("batch", 3, 8, 8))["image"]["max"] == [8, 3, 8, 8]


def test_a_product_whose_shape_cannot_be_known_is_refused(path: Path, tmp_path: Path) -> None:
    from vitc.export.trt_plan import products

    model = ir.load(path)
    head = next(node for node in model.graph if node.op_type == "MatMul")
    hidden = ir.node("Compress", [head.inputs[0], *ir.node("Constant", [], {"value_ints": [1]}).outputs], name="odd")
    hidden.outputs[0].name = "odd"
    model.graph.insert_before(head, [hidden.inputs[1].producer(), hidden])  # type: ignore[union-attr,list-item]
    head.replace_input_with(0, hidden.outputs[0])
    ir.save(model, tmp_path / "odd.onnx")
    with pytest.raises(UserError, match="fix the batch with --batch"):
        products(tmp_path / "odd.onnx")
