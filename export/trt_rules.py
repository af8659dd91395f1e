"""What TensorRT asks of an ONNX file with Q/DQ nodes: ten rules, read off a finished file.

The rules follow TensorRT's explicit quantization guide and what its ONNX parser refuses; they hold for versions 10 and
11. A file that breaks one fails on the device, after an hour of copying and building; here it takes a second.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from .passes.editing import constant, made_by, reads
from .preflight import HALF_END, Finding
from .trt_half import HALF, WIDE
from .trt_operators import NEWEST_OPSET, SUPPORTED, restriction

PLAN = "build.json"
"""Beside the ONNX file: how an engine is built from it."""
PRODUCTS = {"MatMul": 1, "Gemm": 1, "Conv": 0, "ConvTranspose": 1}
"""What may read dequantized values, and the axis of its weight that a scale may go along."""
FOUR_BITS = {ir.DataType.INT4, ir.DataType.UINT4}
BYTES = {ir.DataType.UINT8, ir.DataType.UINT4}

Profile = Mapping[str, Mapping[str, Sequence[int]]]
"""Of each free input the shapes `min`, `opt` and `max`."""


@dataclass(frozen=True)
class File:
    """What the rules look at."""

    model: ir.Model
    profile: Profile

    def quantizers(self) -> Iterator[ir.Node]:
        """All QuantizeLinear and DequantizeLinear nodes."""
        return (node for node in self.model.graph if node.op_type in {"QuantizeLinear", "DequantizeLinear"})


def check_file(path: Path) -> list[Finding]:
    """What is wrong with an ONNX file; its profile is read from the plan beside it."""
    plan = path.parent / PLAN
    profile = json.loads(plan.read_text("utf-8"))["profile"] if plan.is_file() else {}
    return check_model(ir.load(path), profile)


def check_model(model: ir.Model, profile: Profile) -> list[Finding]:
    """What is wrong with a model."""
    file = File(model, profile)
    return [
        Finding(name, where, what, mend, fatal=True)
        for name, (rule, mend) in RULES.items()
        for where, what in rule(file)
    ]


Broken = Iterator[tuple[str, str]]
"""Where a rule is broken, and how."""


def opset(file: File) -> Broken:
    """Old operator sets lack what the file uses; newer ones than the parser's are unknown to it."""
    version = file.model.opset_imports.get("", 0)
    needed, why = 13, "the axis of a scale"
    for node in file.model.graph:
        types = {value.dtype for value in node.inputs if value is not None}
        for since, reason, found in (
            (17, "LayerNormalization", node.op_type == "LayerNormalization"),
            (19, "float16 scales", HALF in types and node.op_type in {"QuantizeLinear", "DequantizeLinear"}),
            (20, "Gelu", node.op_type == "Gelu"),
            (21, "4-bit weights", bool(FOUR_BITS & types)),
        ):
            if found and since > needed:
                needed, why = since, reason
    if not needed <= version <= NEWEST_OPSET:
        yield "the file", f"opset {version}, where {why} begins with {needed} and the parser ends at {NEWEST_OPSET}"


def operator(file: File) -> Broken:
    """Every operator is known to the parser, as it is used."""
    for node in file.model.graph:
        if node.domain not in {"", "ai.onnx"} or node.op_type not in SUPPORTED:
            yield str(node.name), f"TensorRT's parser has no {'.'.join(filter(None, (node.domain, node.op_type)))}"
        elif problem := restriction(node):
            yield str(node.name), problem


def zero_point(file: File) -> Broken:
    """Zero is code 0."""
    for node in file.quantizers():
        zero = constant(reads(node, 2))
        if zero is not None and zero.any() and _kind(node) not in BYTES:
            yield str(node.name), f"zero point {zero.ravel()[zero.ravel().nonzero()[0][0]]}"


def asymmetric(file: File) -> Broken:
    """Codes are signed."""
    for node in file.quantizers():
        if (kind := _kind(node)) in BYTES:
            yield str(node.name), f"codes are {kind}"


def scale(file: File) -> Broken:
    """Scales are constants above zero."""
    for node in file.quantizers():
        values = constant(reads(node, 1))
        if values is None:
            yield str(node.name), "its scale is no constant of the file"
        elif not (np.isfinite(values).all() and (values > 0).all()):
            yield str(node.name), f"its scale reaches {values.min()}"


def axis(file: File) -> Broken:
    """Activations have one scale, weights one for each output channel."""
    for node in file.quantizers():
        values = constant(reads(node, 1))
        if values is None or values.size == 1 or _kind(node) in FOUR_BITS:
            continue
        if not _is_weight(node):
            yield str(node.name), f"an activation has {values.size} scales"
            continue
        value = reads(node, 0)
        rank = len(value.shape) if value is not None and value.shape is not None else 2
        along = node.attributes.get_int("axis", 1) % rank
        for reader, position in _readers(node):
            wanted = PRODUCTS.get(reader.op_type, along)
            if reader.op_type == "Gemm" and reader.attributes.get_int("transB", 0) == 1:
                wanted = 0
            if position == 1 and along != wanted:
                yield str(node.name), f"scales along axis {along} of the weight of {reader.name} ({reader.op_type})"


def residual(file: File) -> Broken:
    """Dequantized values go into products and nowhere else."""
    for node in file.quantizers():
        if node.op_type == "DequantizeLinear":
            for reader, _ in _readers(node):
                if reader.op_type not in PRODUCTS:
                    yield str(reader.name), f"{reader.op_type} reads the quantized value of {node.name}"


def layernorm(file: File) -> Broken:
    """What squares and sums does so in float32."""
    for node in file.model.graph:
        if node.op_type in WIDE and any(value is not None and value.dtype == HALF for value in node.inputs):
            yield str(node.name), f"{node.op_type} in float16, whose squares and sums end at {HALF_END:.0f}"


def batch(file: File) -> Broken:
    """Free dimensions have a profile."""
    for image in file.model.graph.inputs:
        sizes = [size if isinstance(size, int) else None for size in image.shape or ()]
        shapes = file.profile.get(str(image.name), {})
        if None in sizes and not all(_fits(sizes, shapes.get(end, ())) for end in ("min", "opt", "max")):
            yield str(image.name), f"shape {['free' if size is None else size for size in sizes]} without a profile"


def block(file: File) -> Broken:
    """INT4 codes are a matrix of an even size, with a scale for each block along its rows."""
    for node in file.quantizers():
        if _kind(node) != ir.DataType.INT4:
            continue
        codes, values = constant(reads(node, 0)), constant(reads(node, 1))
        size = node.attributes.get_int("block_size", 0)
        if codes is None or codes.ndim != 2 or codes.size % 2:
            yield str(node.name), "4-bit codes that are no constant matrix of an even size"
        elif size <= 0 or codes.shape[0] % size or node.attributes.get_int("axis", 1) % 2:
            yield str(node.name), f"blocks of {size} along axis {node.attributes.get_int('axis', 1)} of {codes.shape}"
        elif values is not None and values.shape != (codes.shape[0] // size, codes.shape[1]):
            yield str(node.name), f"scales {values.shape} for blocks of {size} rows of {codes.shape}"


RULES: dict[str, tuple[Callable[[File], Broken], str]] = {
    "opset": (opset, "export it with an operator set from 21 to 24"),
    "operator": (operator, "replace it in the model"),
    "zero-point": (zero_point, "quantize symmetrically, with zero points of 0"),
    "asymmetric-uint8": (asymmetric, "quantize to signed bytes"),
    "scale": (scale, "store a positive scale as an initializer"),
    "channel-axis": (axis, "one scale an activation; a weight's along its output channels"),
    "quantized-residual": (residual, "quantize the inputs of linears and convolutions only"),
    "fp16-layernorm": (layernorm, "cast to float32 around it"),
    "dynamic-batch": (batch, "fix the batch with --batch, or give a profile with min, opt and max shapes"),
    "int4-block": (block, "one scale for each block along the rows of [K, N], of a size that divides K"),
}
"""Name of a rule -> the rule, and the mend."""


def _kind(node: ir.Node) -> ir.DataType | None:
    """The type of the codes that a node makes or reads."""
    if node.op_type == "DequantizeLinear":
        codes, named = reads(node, 0), 0
    else:
        codes, named = reads(node, 2) or node.outputs[0], node.attributes.get_int("output_dtype", 0)
    return ir.DataType(named) if named else (codes.dtype if codes is not None else None)


def _is_weight(node: ir.Node) -> bool:
    """Whether the first input is in the file, as it is or quantized there."""
    return constant(reads(node, 0)) is not None or constant(reads(made_by(reads(node, 0)), 0)) is not None


def _readers(node: ir.Node) -> Iterator[tuple[ir.Node, int]]:
    return ((use.node, use.idx) for use in node.outputs[0].uses())


def _fits(sizes: Sequence[int | None], shape: Sequence[int]) -> bool:
    """Whether a profile's shape is one that the input may have."""
    return len(shape) == len(sizes) and all(size in {None, given} for size, given in zip(sizes, shape, strict=True))
