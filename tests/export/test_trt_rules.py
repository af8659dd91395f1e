import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from vitc.export.trt_rules import RULES, check_file, check_model

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
PROFILE = {"image": {end: [size, 3, 8, 8] for end, size in (("min", 1), ("opt", 1), ("max", 8))}}
HALF, FLOAT = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
Model = Any


def constant(name: str, values: Any, dtype: Any) -> Any:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(operator, inputs.split(), [output], name=f"{output}_node", **attributes)


@pytest.fixture
def model() -> Model:
    """A block as the export writes it: int8 convolution and linear, LayerNorm, a residual sum, and a 4-bit linear."""
    random = np.random.default_rng(0)
    codes = {"conv": (16, 3, 2, 2), "linear": (16, 16)}
    constants = [
        *(constant(f"{name}_codes", random.integers(-127, 128, shape), np.int8) for name, shape in codes.items()),
        *(constant(f"{name}_scale", random.uniform(0.01, 0.02, 16), np.float16) for name in codes),
        helper.make_tensor("four_codes", onnx.TensorProto.INT4, (16, 6), random.integers(-7, 8, 96).tolist()),
        constant("four_scale", np.full((2, 6), 0.1), np.float16),
        constant("step", 0.05, np.float16),
        constant("zero", 0, np.int8),
        constant("gain", np.ones(16), np.float32),
        constant("tokens", [0, 16, 16], np.int64),
    ]
    nodes = [
        node("Cast", "image", "pixels", to=HALF),
        node("QuantizeLinear", "pixels step zero", "pixels_code"),
        node("DequantizeLinear", "pixels_code step zero", "pixels_back"),
        node("DequantizeLinear", "conv_codes conv_scale", "conv_weight", axis=0),
        node("Conv", "pixels_back conv_weight", "patches", strides=[2, 2]),
        node("Reshape", "patches tokens", "stream"),
        node("Cast", "stream", "stream_wide", to=FLOAT),
        node("LayerNormalization", "stream_wide gain", "normal_wide"),
        node("Cast", "normal_wide", "normal", to=HALF),
        node("QuantizeLinear", "normal step zero", "normal_code"),
        node("DequantizeLinear", "normal_code step zero", "normal_back"),
        node("DequantizeLinear", "linear_codes linear_scale", "linear_weight", axis=1),
        node("MatMul", "normal_back linear_weight", "product"),
        node("Add", "stream product", "residual"),
        node("DequantizeLinear", "four_codes four_scale", "four_weight", axis=0, block_size=8),
        node("MatMul", "residual four_weight", "answer"),
        node("Cast", "answer", "logits", to=FLOAT),
    ]
    image = helper.make_tensor_value_info("image", FLOAT, ["batch", 3, 8, 8])
    logits = helper.make_tensor_value_info("logits", FLOAT, ["batch", 16, 6])
    graph = helper.make_graph(nodes, "block", [image], [logits], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def broken(model: Model, profile: Any = PROFILE) -> set[str]:
    """The names of the rules that a model breaks."""
    typed = onnx.shape_inference.infer_shapes(model)
    found = check_model(ir.from_proto(typed), profile)
    assert all(finding.fatal and finding.where and finding.what and finding.mend for finding in found)
    return {finding.rule for finding in found}


def named(model: Model, output: str) -> Any:
    """The node that makes a value."""
    return next(node for node in model.graph.node if output in node.output)


def store(model: Model, tensor: Any) -> None:
    """Put a constant into the model, in place of the one of its name."""
    kept = [held for held in model.graph.initializer if held.name != tensor.name]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, tensor])


def attribute(node: Any, name: str, value: Any) -> None:
    kept = [held for held in node.attribute if held.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def zero_point(model: Model) -> None:
    store(model, constant("zero", 3, np.int8))


def asymmetric_uint8(model: Model) -> None:
    store(model, constant("zero", 128, np.uint8))


def residual_quantized(model: Model) -> None:
    """The stream is rounded before it is added, as tools do that quantize every operator."""
    place = list(model.graph.node).index(named(model, "residual"))
    rounding = [
        node("QuantizeLinear", "stream step zero", "stream_code"),
        node("DequantizeLinear", "stream_code step zero", "stream_back"),
    ]
    for position, made in enumerate(rounding):
        model.graph.node.insert(place + position, made)
    named(model, "residual").input[0] = "stream_back"


def wrong_axis_of_a_linear(model: Model) -> None:
    attribute(named(model, "linear_weight"), "axis", 0)


def wrong_axis_of_a_convolution(model: Model) -> None:
    store(model, constant("conv_scale", [0.01] * 3, np.float16))
    attribute(named(model, "conv_weight"), "axis", 1)


def channels_of_an_activation(model: Model) -> None:
    store(model, constant("steps", [0.05] * 16, np.float16))
    store(model, constant("zeros", [0] * 16, np.int8))
    for value in ("normal_code", "normal_back"):
        named(model, value).input[1:] = ["steps", "zeros"]
        attribute(named(model, value), "axis", 2)


def scale_that_is_computed(model: Model) -> None:
    model.graph.node.insert(0, node("Cast", "step_wide", "step_computed", to=HALF))
    model.graph.input.append(helper.make_tensor_value_info("step_wide", FLOAT, []))
    for value in ("normal_code", "normal_back"):
        named(model, value).input[1] = "step_computed"


def scale_of_nothing(model: Model) -> None:
    store(model, constant("linear_scale", [0.0] + [0.01] * 15, np.float16))


def old_opset(model: Model) -> None:
    model.opset_import[0].version = 18


def new_opset(model: Model) -> None:
    model.opset_import[0].version = 25


def half_layernorm(model: Model) -> None:
    store(model, constant("gain", np.ones(16), np.float16))
    named(model, "normal_wide").input[0] = "stream"
    named(model, "normal_code").input[0] = "normal_wide"
    model.graph.node.remove(named(model, "normal"))


def block_that_does_not_divide(model: Model) -> None:
    attribute(named(model, "four_weight"), "block_size", 6)
    store(model, constant("four_scale", np.full((3, 6), 0.1), np.float16))


def block_along_the_channels(model: Model) -> None:
    attribute(named(model, "four_weight"), "axis", 1)
    attribute(named(model, "four_weight"), "block_size", 3)
    store(model, constant("four_scale", np.full((16, 2), 0.1), np.float16))


def block_without_a_scale(model: Model) -> None:
    store(model, constant("four_scale", np.full((4, 6), 0.1), np.float16))


def unsupported_operator(model: Model) -> None:
    named(model, "residual").op_type = "BitwiseXor"


def operator_of_one_runtime(model: Model) -> None:
    named(model, "product").domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


PLANTED: list[tuple[str, Callable[[Model], None]]] = [
    ("zero-point", zero_point),
    ("asymmetric-uint8", asymmetric_uint8),
    ("quantized-residual", residual_quantized),
    ("channel-axis", wrong_axis_of_a_linear),
    ("channel-axis", wrong_axis_of_a_convolution),
    ("channel-axis", channels_of_an_activation),
    ("scale", scale_that_is_computed),
    ("scale", scale_of_nothing),
    ("opset", old_opset),
    ("opset", new_opset),
    ("fp16-layernorm", half_layernorm),
    ("int4-block", block_that_does_not_divide),
    ("int4-block", block_along_the_channels),
    ("int4-block", block_without_a_scale),
    ("operator", unsupported_operator),
    ("operator", operator_of_one_runtime),
]


def test_a_file_that_keeps_the_rules_passes(model: Model) -> None:
    assert broken(model) == set()


@pytest.mark.parametrize(("rule", "plant"), PLANTED, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_violation_is_refused_by_its_name(model: Model, rule: str, plant: Callable[[Model], None]) -> None:
    plant(model)
    assert broken(model) == {rule}


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"other": PROFILE["image"]},
        {"image": {"min": [1, 3, 8, 8], "opt": [1, 3, 8, 8]}},
        {"image": {**PROFILE["image"], "max": [8, 3, 16, 16]}},
    ],
    ids=["none", "of another input", "without its end", "of another size"],
)
def test_a_free_batch_needs_a_profile(model: Model, profile: Any) -> None:
    assert broken(model, profile) == {"dynamic-batch"}


def test_a_fixed_batch_needs_none(model: Model) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    assert broken(model, {}) == set()


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, _ in PLANTED} | {"dynamic-batch"} == set(RULES)
    assert len(RULES) == 10


def test_a_finding_says_where_and_how(model: Model) -> None:
    wrong_axis_of_a_linear(model)
    (finding,) = check_model(ir.from_proto(onnx.shape_inference.infer_shapes(model)), PROFILE)
    assert finding.where == "linear_weight_node"
    assert "axis 0" in finding.what
    assert "product_node" in finding.what


def test_a_file_is_checked_with_the_plan_beside_it(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    assert {finding.rule for finding in check_file(path)} == {"dynamic-batch"}
    (tmp_path / "build.json").write_text(json.dumps({"profile": PROFILE}), "utf-8")
    assert check_file(path) == []
