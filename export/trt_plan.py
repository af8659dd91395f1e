"""What lies beside the ONNX file for TensorRT: build.json, which says how to build and what to expect, and build.py.

The device that builds has TensorRT and no ONNX library, so that the plan also lists the products of the graph: their
shapes for one image, the layer whose weight they read, and the precision that the file promises them.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir
from onnxscript.optimizer import fold_constants

from .. import atomic
from ..errors import UserError
from ..layers import layer_of
from ..models.backbone import Backbone
from . import to_onnx, trt_build, trt_rules
from .passes.editing import constant, made_by, reads

SCRIPT = "build.py"
BATCHES = {"min": 1, "opt": 1, "max": 8}
"""Images an inference that an engine takes, where the batch is free."""
LEVEL, WORKSPACE = 3, 1024
"""TensorRT's own default of how long to search, and MiB of scratch memory that every Jetson has."""


def profile_of(model: ir.Model) -> dict[str, dict[str, list[int]]]:
    """The shapes that an engine takes of each input with a free batch; nothing for inputs that are fixed."""
    return {
        str(image.name): {
            end: [size if isinstance(size, int) else batch for size in image.shape or ()]
            for end, batch in BATCHES.items()
        }
        for image in model.graph.inputs
        if not all(isinstance(size, int) for size in image.shape or ())
    }


def write_plan(backbone: Backbone, path: Path, profile: Mapping[str, Any]) -> None:
    """Write build.json, which says how to build from `path`, and build.py, which does."""
    plan = {
        "schema": 1,
        "onnx": path.name,
        "onnx_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "precision": backbone.precision,
        "strongly_typed": True,
        "profile": profile,
        "optimization_level": LEVEL,
        "workspace_mib": WORKSPACE,
        "metadata": to_onnx.metadata(backbone),
        "products": products(path),
    }
    plan["trtexec"] = trt_build.trtexec(plan)
    atomic.write_text(path.parent / trt_rules.PLAN, json.dumps(plan, indent=1, ensure_ascii=False) + "\n")
    atomic.write_text(path.parent / SCRIPT, Path(trt_build.__file__).read_text("utf-8"))


def products(path: Path) -> dict[str, dict[str, Any]]:
    """The nodes that multiply matrices, with their shapes for one image and what they are promised to run in."""
    shapes = shapes_of_one(ir.load(path))
    return {
        str(node.name): {
            "operator": node.op_type,
            "layer": _layer(node),
            "promised": _promised(node),
            "inputs": [_sizes(node, shapes, reads(node, position)) for position in (0, 1)],
            "output": _sizes(node, shapes, node.outputs[0]),
        }
        for node in ir.load(path).graph
        if node.op_type in trt_rules.PRODUCTS
    }


def shapes_of_one(model: ir.Model) -> dict[str, ir.Shape | None]:
    """The shapes of all values, by name, when one image goes in; the model is spent."""
    made = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    free = {str(image.shape[0]) for image in model.graph.inputs if image.shape is not None}
    for value in made:
        sizes = [1 if str(size) in free else size for size in value.shape or ()]
        known = value.shape is not None and all(isinstance(size, int) for size in sizes)
        value.shape = ir.Shape(sizes) if known else None
    stored = {str(value.name): value.shape for value in model.graph.initializers.values()}
    fold_constants(model, onnx_shape_inference=True)  # what is computed of the batch becomes a number
    return stored | {str(value.name): value.shape for value in made}


def _promised(node: ir.Node) -> str:
    """int8 where both factors are codes, int4 where the weight alone is."""
    activation, weight = (made_by(reads(node, position), "DequantizeLinear") for position in (0, 1))
    codes = reads(weight, 0)
    if codes is None:
        return "fp16"
    if codes.dtype == ir.DataType.INT4:
        return "int4"
    return "int8" if activation is not None else "fp16"


def _layer(node: ir.Node) -> str | None:
    """The layer whose weight a product reads."""
    weight = reads(node, 1)
    value = reads(made_by(weight, "DequantizeLinear"), 0) or weight
    if value is None or not (value.is_initializer() or constant(reads(made_by(weight), 0)) is not None):
        return None
    return layer_of(str(value.name))


def _sizes(node: ir.Node, shapes: Mapping[str, ir.Shape | None], value: ir.Value | None) -> list[int]:
    shape = None if value is None else shapes[str(value.name)]
    sizes = [size for size in shape or () if isinstance(size, int)]
    if shape is None or len(sizes) != len(shape):
        raise UserError(f"the shapes of {node.name} ({node.op_type}) are not known; fix the batch with --batch")
    return sizes
