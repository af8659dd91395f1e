"""ONNX in standard operators only, for any runtime that reads ONNX.

Quantized linears are written in the one form that stock runtimes fuse into integer kernels: QuantizeLinear and
DequantizeLinear on the input, codes as [K, N] dequantized along axis 1, and a bias with leading ones, because a bias of
rank 1 is merged into a float Gemm before the integer fusions run. The graph holds nothing of the machine that wrote it.
"""

import json
import re
import warnings
from collections.abc import Iterator
from copy import copy
from functools import lru_cache
from pathlib import Path

import onnx_ir as ir
import torch
from onnx_ir.passes import common
from onnxscript import optimizer

from ..atomic import replacing
from ..errors import UserError
from ..models.backbone import Backbone
from ..models.program import EXAMPLE_BATCH, export_program
from . import passes
from .artifact import Artifact, artifact
from .onnx_operators import translations
from .options import DEFAULTS, Options
from .packing import pack_weights
from .preflight import Finding, Subject, refusal, refuse_simulated

OPSET = 20
"""The first with Gelu: at 18 it is five nodes, and int8 DeiT-Tiny 7 % slower on onnxruntime. Nothing needs more."""
INPUT, OUTPUT = "image", "logits"
FILE = "model.onnx"
LARGEST = 2**31
"""Bytes in a file of protocol buffers, at most."""


def write(backbone: Backbone, folder: Path, options: Options = DEFAULTS) -> Artifact:
    """Write `folder/model.onnx`."""
    model = translate(backbone, options)
    passes.run(model, *passes.STANDARD)
    pack_weights(model)
    return save(model, backbone.precision, "onnx", folder)


def save(model: ir.Model, precision: str, target: str, folder: Path) -> Artifact:
    """Write a model as `folder/model.onnx`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    with replacing(path) as partial:
        ir.save(model, partial)
    return artifact(precision, target, path)


def check(subject: Subject) -> Iterator[Finding]:
    """What keeps a backbone from becoming ONNX, or from running as it should: its translation is tried in full."""
    where = subject.backbone.name
    try:
        translate(subject.backbone, subject.options)
    except UserError as failure:
        yield refusal("onnx-operator", where, failure)
    size = sum(parameter.numel() for parameter in subject.program.parameters()) * (subject.weight_bits or 32) // 8
    if size >= LARGEST:
        yield Finding(
            "onnx-size", where, f"{size >> 20} MiB of weights, and a file holds 2 GiB", "use fewer bits", fatal=True
        )
    if subject.options.image_input:
        mend = "prepare images as the file's vitc.preprocessing says"
        yield Finding("onnx-image-input", where, "ONNX has no image type: the file takes tensors", mend, fatal=False)


def translate(backbone: Backbone, options: Options = DEFAULTS, opset: int = OPSET) -> ir.Model:
    """The backbone's program as an ONNX model, the caller's own to change."""
    model = _translated(backbone, options.batch, opset).clone()
    outputs = (value for node in model.graph.all_nodes() for value in node.outputs)
    for value in (*model.graph.inputs, *model.graph.initializers.values(), *outputs):
        value.type = copy(value.type)  # a clone shares them, and setting a value's dtype changes its type in place
    return model


@lru_cache(maxsize=1)  # four targets begin with the same one, and so does preflight
def _translated(backbone: Backbone, batch: int | None, opset: int) -> ir.Model:
    refuse_simulated(backbone)
    size = backbone.preprocessing.input_size
    program = export_program(backbone.module, size, batch)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.onnx.export(
                program,
                (torch.zeros(batch or EXAMPLE_BATCH, *size),),
                dynamo=True,
                custom_translation_table=translations(program),
                opset_version=opset,
                input_names=[INPUT],
                output_names=[OUTPUT],
                optimize=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as failure:
        culprit = _culprit(failure)
        raise UserError(f"{backbone.name} cannot become ONNX: {culprit}; replace it in the model") from failure
    if exported is None:
        raise UserError(f"torch.onnx.export gave nothing for {backbone.name}; choose another target")
    model = exported.model
    _tidy(model)
    _anonymize(model)
    model.metadata_props.update(metadata(backbone))
    return model


def _tidy(model: ir.Model) -> None:
    """Fold what is constant, drop what is unused, store every constant once.

    onnxscript's own optimizer does the same, and tries its 60 rewrite rules on every node besides: 4 of the 9 seconds
    that DeiT-Tiny took.
    """
    common.InlinePass()(model)
    optimizer.fold_constants(model)
    for tidy in (
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    ):
        tidy(model)


def metadata(backbone: Backbone) -> dict[str, str]:
    """What must travel with the file: how to prepare an image, what the outputs mean, where the weights came from."""
    return {
        "vitc.name": backbone.name,
        "vitc.precision": backbone.precision,
        "vitc.preprocessing": json.dumps(backbone.preprocessing.to_json()),
        "vitc.classes": json.dumps(backbone.classes),
        "vitc.weights_sha256": backbone.weights_sha256,
    }


def _culprit(failure: torch.onnx.OnnxExporterError) -> str:
    """The operator that has no translation; what the exporter says, where it names none."""
    reason = str(failure.__cause__ or failure).strip()
    operator = re.search(r"target=torch\.ops\.(\w+\.\w+)", reason)
    return f"there is no translation of {operator[1]}" if operator else reason.partition("\n")[0]


def _anonymize(model: ir.Model) -> None:
    """Drop the tracer's notes: source lines, paths and module stacks."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.graph.name = "vitc"
    model.producer_name, model.producer_version = "vitc", None
    model.doc_string = model.graph.doc_string = None
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.initializers.values(), *model.graph.inputs):
        value.metadata_props.clear()
