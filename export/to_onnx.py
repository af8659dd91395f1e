"""ONNX in standard operators only, for any runtime that reads ONNX.

Quantized linears are written in the one form that stock runtimes fuse into integer kernels: QuantizeLinear and
DequantizeLinear on the input, codes as [K, N] dequantized along axis 1, and a bias with leading ones, because a bias of
rank 1 is merged into a float Gemm before the integer fusions run. The graph holds nothing of the machine that wrote it.
"""

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset21 as op
from onnxscript.optimizer import optimize

from ..atomic import replacing
from ..compress import ops  # noqa: F401  (registers the operators)
from ..compress.scheme import SCHEMES
from ..errors import UserError
from ..models.backbone import Backbone
from ..models.program import EXAMPLE_BATCH, export_program
from .artifact import Artifact, artifact

OPSET = 21
INPUT, OUTPUT = "image", "logits"
FILE = "model.onnx"


def write(backbone: Backbone, folder: Path, batch: int | None = None) -> Artifact:
    """Write `folder/model.onnx`; `batch` fixes the batch dimension, none leaves it free."""
    model = translate(backbone, batch)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    with replacing(path) as partial:
        ir.save(model, partial)
    return artifact(backbone.precision, "onnx", path)


def translate(backbone: Backbone, batch: int | None = None) -> ir.Model:
    """The backbone's program as an ONNX model."""
    size = backbone.preprocessing.input_size
    program = export_program(backbone.module, size, batch)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.onnx.export(
                program,
                (torch.zeros(batch or EXAMPLE_BATCH, *size),),
                dynamo=True,
                custom_translation_table=TRANSLATIONS,
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
    optimize(model)
    _anonymize(model)
    model.metadata_props.update(metadata(backbone))
    return model


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


def _quantize(x: Any, low: float, high: float, bits: int, scheme: str) -> Any:
    grid = SCHEMES[scheme].grid(low, high, bits)
    kind = ir.DataType.INT8 if grid.lowest < 0 else ir.DataType.UINT8
    if grid.highest - grid.lowest < 255:
        ends = (grid.scale * (code - grid.zero_point) for code in (grid.lowest, grid.highest))
        x = op.Clip(x, *(op.Constant(value_float=end) for end in ends))
    scale = op.Constant(value_float=grid.scale)
    zero_point = op.Cast(op.Constant(value_int=grid.zero_point), to=kind)
    return op.DequantizeLinear(op.QuantizeLinear(x, scale, zero_point), scale, zero_point)


def _linear(x: Any, codes: Any, scale: Any, bias: Any = None) -> Any:
    product = op.MatMul(x, op.DequantizeLinear(codes, scale, axis=1))
    if bias is None:
        return product
    rank = max(len(x.shape), 3)
    total = op.Add(product, op.Reshape(bias, op.Constant(value_ints=[*[1] * (rank - 1), -1])))
    added = list(range(rank - len(x.shape)))
    return op.Squeeze(total, op.Constant(value_ints=added)) if added else total


def _conv2d(  # noqa: PLR0913  (its parameters are the operator's schema)
    x: Any,
    codes: Any,
    scale: Any,
    bias: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Any:
    weight = op.DequantizeLinear(codes, scale, axis=0)
    pads = [*padding, *padding]
    return op.Conv(x, weight, bias, strides=stride, pads=pads, dilations=dilation, group=groups)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.vitc.quantize.default: _quantize,
    torch.ops.vitc.linear.default: _linear,
    torch.ops.vitc.conv2d.default: _conv2d,
}
