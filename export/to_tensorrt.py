"""TensorRT: an explicitly quantized, strongly typed ONNX file, and all that builds an engine from it.

The standard ONNX graph, in three passes: 4-bit weights become INT4 (`trt_int4`), the float part becomes float16 with
what squares and sums in float32 (`trt_half`), and the result is held against TensorRT's rules (`trt_rules`). Linears
and convolutions read int8 activations with one scale and int8 weights with one a channel, zero points 0; the residual
stream, LayerNorm, softmax, GELU and the attention products are not quantized. Input and output are float32.

Weights of four bits and fewer are stored in four and multiplied in float16: smaller, and not promised to be faster.
There is no 1-bit form. Beside the file lie build.py and build.json; where there is a GPU with TensorRT, the engine too.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir
import torch
from onnx_ir.passes import common
from torch import nn
from torch.fx import GraphModule

from .. import atomic
from ..errors import UserError, VerificationFailed
from ..models.backbone import Backbone
from . import to_onnx, trt_build, trt_preflight, trt_rules
from .artifact import Artifact
from .options import DEFAULTS, Options
from .preflight import Finding, Subject, refusal
from .trt_half import to_half
from .trt_int4 import WIDEST, pack_weights
from .trt_plan import SCRIPT, profile_of, write_plan


def write(backbone: Backbone, folder: Path, options: Options = DEFAULTS) -> Artifact:
    """Write `folder/model.onnx`, the plan and the script; build the engine where that is possible."""
    model = typed(backbone, options)
    profile = profile_of(model)
    if found := trt_rules.check_model(model, profile):
        raise VerificationFailed(f"the ONNX file for TensorRT breaks its rules: {'; '.join(map(str, found))}")
    made = to_onnx.save(model, backbone.precision, "tensorrt", folder)
    write_plan(backbone, made.path, profile)
    return replace(made, note=build(folder))


def build(folder: Path) -> str:
    """Build the engine if this machine can; what is to be said of it."""
    for stale in folder.glob("model.trt*.engine"):
        atomic.remove(stale)
    if reason := trt_build.missing():
        return f"not built here: {reason}; copy {folder.name}/ to the device and run `python {SCRIPT}` there"
    try:
        return f"built {trt_build.build(folder).name}"
    except trt_build.BuildError as failure:
        raise VerificationFailed(str(failure)) from failure


def typed(backbone: Backbone, options: Options = DEFAULTS) -> ir.Model:
    """The backbone as a strongly typed model."""
    bits = widths(backbone.module)
    model = common.ShapeInferencePass()(to_onnx.translate(backbone, options)).model
    four = pack_weights(model, bits) if any(width <= WIDEST for width in bits.values()) else []
    to_half(model)
    _settle_opset(model, newest=21 if four else 20)
    return model


def widths(module: nn.Module) -> dict[str, int]:
    """How many bits the codes of each buffer have."""
    if not isinstance(module, GraphModule):
        return {}
    operators = torch.ops.vitc.linear.default, torch.ops.vitc.conv2d.default
    return {str(node.args[1].target): node.args[-1] for node in module.graph.nodes if node.target in operators}


def _settle_opset(model: ir.Model, newest: int) -> None:
    """Declare an operator set that TensorRT 10.0 reads already: 20, but for 4-bit weights, which begin with 21.

    From 20 to 21 types were added, and the meaning of GroupNormalization was changed.
    """
    version = model.opset_imports[""]
    if version < newest == 21 or (version == 21 and newest == 20):
        if any(node.op_type == "GroupNormalization" for node in model.graph):
            return
        model.opset_imports[""] = newest
        for node in model.graph:
            for name in ("block_size", "output_dtype"):
                if newest == 20 and node.attributes.get_int(name, 1) == 0:
                    del node.attributes[name]


def check(subject: Subject) -> Iterator[Finding]:
    """What keeps a float backbone from becoming a TensorRT engine, or may."""
    yield from trt_preflight.foresee(subject)
    try:
        model = typed(subject.backbone, subject.options)
    except UserError as failure:
        yield refusal("onnx", subject.backbone.name, failure)
    else:
        yield from trt_rules.check_model(model, profile_of(model))
