"""ONNX in standard operators only, for any runtime that reads ONNX.

Quantized linears are written in the one form that stock runtimes fuse into integer kernels: QuantizeLinear and
DequantizeLinear on the input, codes as [K, N] dequantized along axis 1, and a bias with leading ones, because a bias of
rank 1 is merged into a float Gemm before the integer fusions run. The graph holds nothing of the machine that wrote it.
"""

import json
import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import onnx_ir as ir
import torch
from onnx_ir.passes import common
from onnxscript import optimizer

from ..atomic import replacing
from ..errors import UserError
from ..models.backbone import Backbone
from ..models.program import EXAMPLE_BATCH, export_program
from .artifact import Artifact, artifact
from .onnx_operators import translations
from .options import DEFAULTS, Options
from .preflight import Finding, Subject

OPSET = 21
INPUT, OUTPUT = "image", "logits"
FILE = "model.onnx"


def write(backbone: Backbone, folder: Path, options: Options = DEFAULTS) -> Artifact:
    """Write `folder/model.onnx`."""
    model = translate(backbone, options)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    with replacing(path) as partial:
        ir.save(model, partial)
    return artifact(backbone.precision, "onnx", path)


def check(subject: Subject) -> Iterable[Finding]:
    """What keeps a backbone from becoming ONNX."""
    return ()


def translate(backbone: Backbone, options: Options = DEFAULTS) -> ir.Model:
    """The backbone's program as an ONNX model."""
    size = backbone.preprocessing.input_size
    program = export_program(backbone.module, size, options.batch)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.onnx.export(
                program,
                (torch.zeros(options.batch or EXAMPLE_BATCH, *size),),
                dynamo=True,
                custom_translation_table=translations(program),
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                optimize=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as failure:
        culprit = _culprit(failure)
        raise UserError(f"{backbone.name} cannot become ONNX: {culprit}; replace it in the model") from failure
    if exported is None:
        raise UserError(f"torch.onnx.export gave nothing for {backbone.name}")
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
