"""OpenVINO's IR, `model.xml` with its weights in `model.bin`, by way of the standard ONNX that the onnx target writes.

Before OpenVINO's converter reads it, those of the exact ONNX passes rewrite it that pay here; after it, the passes
below rewrite what OpenVINO's CPU kernels are slow at. The latter match nothing in a float backbone.
"""

import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import onnx_ir as ir

from .. import libraries
from ..atomic import SUFFIX, remove, replacing
from ..errors import UserError
from ..models.backbone import Backbone
from . import passes, to_onnx
from .artifact import Artifact, artifact
from .openvino_codes import spell_out
from .openvino_gelu import approximate_gelu
from .openvino_moves import round_before_moving
from .openvino_packing import pack
from .openvino_parts import round_before_parting
from .options import DEFAULTS, Options
from .passes.binary_shares import BinaryShares
from .passes.constant_shapes import ConstantShapes
from .passes.known_shapes import KnownShapes
from .passes.merge_views import MergeViews
from .passes.wanted_tokens import WantedTokens
from .preflight import Finding, Subject, refusal

FILE, WEIGHTS = "model.xml", "model.bin"
NOTES = "framework"
"""Where OpenVINO's ONNX frontend keeps a file's metadata, and the session looks for it."""

STANDARD: tuple[ir.passes.InPlacePass, ...] = (
    ConstantShapes(),
    KnownShapes(),
    MergeViews(),
    WantedTokens(),
    BinaryShares(),
)
"""Attention is left in one piece: its parts, split and turned as onnxruntime likes them, run slower here."""

PASSES: tuple[Callable[[Any], int], ...] = (
    # rounding where it costs least
    round_before_parting,
    round_before_moving,
    approximate_gelu,
    spell_out,
    # the file's size; last, because the others do not know narrow codes
    pack,
)


def write(backbone: Backbone, folder: Path, options: Options = DEFAULTS) -> Artifact:
    """Write `folder/model.xml` and `folder/model.bin`."""
    model = convert(backbone, options, STANDARD)
    for rewrite in PASSES:
        rewrite(model)
    model.validate_nodes_and_infer_types()
    return save(model, folder, backbone.precision)


def check(subject: Subject) -> Iterable[Finding]:
    """What keeps a backbone from becoming IR: the float conversion is tried, it takes seconds."""
    try:
        convert(subject.backbone, subject.options)
    except UserError as failure:
        yield refusal("openvino-conversion", subject.backbone.name, failure)


def convert(backbone: Backbone, options: Options = DEFAULTS, lean: tuple[ir.passes.InPlacePass, ...] = ()) -> Any:
    """The backbone as OpenVINO's converter makes it, of ONNX that the passes `lean` have rewritten."""
    openvino = libraries.openvino()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / to_onnx.FILE
        model = to_onnx.translate(backbone, options)
        passes.run(model, *lean)
        ir.save(model, path)
        try:
            return openvino.convert_model(path)
        except RuntimeError as failure:
            raise UserError(
                f"{backbone.name} cannot become OpenVINO IR: {_reason(failure)}; "
                "replace it in the model, or choose another target"
            ) from failure


def save(model: Any, folder: Path, precision: str) -> Artifact:
    """Write a model under deterministic names; the description appears last, so that what is there is whole."""
    anonymize(model)
    model.set_rt_info(precision, [NOTES, "vitc.precision"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    with (
        replacing(path) as description,
        replacing(folder / WEIGHTS) as weights,
        tempfile.TemporaryDirectory(dir=folder, suffix=SUFFIX) as stage,  # serialize insists on names in .xml and .bin
    ):
        libraries.openvino().serialize(model, str(Path(stage) / FILE), str(Path(stage) / WEIGHTS))
        (Path(stage) / FILE).replace(description)
        (Path(stage) / WEIGHTS).replace(weights)
        remove(path)  # of an earlier run: it would describe other weights
    return artifact(precision, "openvino", path)


def anonymize(model: Any) -> None:
    """Names that OpenVINO counts through a process become names that depend on the graph alone."""
    model.set_friendly_name("vitc")
    for index, node in enumerate(model.get_ordered_ops()):
        if re.fullmatch(r"[A-Z][A-Za-z0-9]*_\d+", node.get_friendly_name()):
            node.set_friendly_name(f"{node.get_type_name()}.{index}")
    notes = model.get_rt_info()
    for key in list(notes):
        if key != NOTES:
            del notes[key]


def _reason(failure: RuntimeError) -> str:
    """The line of OpenVINO's message that names the operator, else the first that says something."""
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    telling = (line for line in lines if "ONNX" in line or "operation" in line or "not supported" in line)
    return next(telling, lines[0] if lines else "no reason given")
