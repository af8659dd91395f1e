"""Core ML: an `.mlpackage` with an ML program that computes in 16-bit floats, for iOS 17 (macOS 14) or newer.

A float backbone becomes plain fp16. A quantized one holds `quantize` and `dequantize` where the simulation rounds, with
our scales and no zero points, and its weights as packed codes (`coreml_weights.py`), so that its answers are known from
the simulation. Weights of four bits and fewer need iOS 18. The batch is fixed, one image unless `--batch` says
otherwise: the Neural Engine takes no free dimensions.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch.export import ExportedProgram

from .. import libraries
from ..errors import UserError
from ..models.backbone import Backbone
from ..models.program import export_program
from . import coreml_image, coreml_ops, coreml_rules
from .artifact import Artifact, artifact
from .coreml_package import save
from .coreml_rewrites import rewrite
from .coreml_weights import deployment_target
from .options import DEFAULTS, Options
from .preflight import Finding, Subject, refuse_simulated
from .to_onnx import INPUT, OUTPUT, metadata

FILE = "model.mlpackage"
FAILURES = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What coremltools raises, depending on what it stumbles over."""


def write(backbone: Backbone, folder: Path, options: Options = DEFAULTS) -> Artifact:
    """Write `folder/model.mlpackage`."""
    program = translatable(backbone, options.batch)
    system = deployment_target(min(coreml_ops.weight_bits(program.graph_module), default=8))
    notes = {
        **metadata(backbone),
        "vitc.deployment_target": system,
        "vitc.input": "pixels" if options.image_input else "normalized",
    }
    path = folder / FILE
    with TemporaryDirectory() as scratch:
        model = convert(backbone, program, options, system, Path(scratch))
        folder.mkdir(parents=True, exist_ok=True)
        save(model.get_spec(), Path(model.weights_dir), notes, path)
    return artifact(backbone.precision, "coreml", path)


def check(subject: Subject) -> Iterable[Finding]:
    """What keeps a backbone from becoming a Core ML program, or from computing in 16 bits."""
    libraries.coremltools()
    coreml_ops.register()
    program = translatable(subject.backbone, subject.options.batch)
    graph = program.graph_module
    found = [
        *coreml_rules.unknown_operators(graph),
        *coreml_rules.high_ranks(graph),
        *coreml_rules.free_dimensions(graph),
    ]
    yield from found or _trial(program)
    yield from coreml_rules.overflow(subject)
    yield from coreml_rules.wishes(subject)


def _trial(program: ExportedProgram) -> Iterator[Finding]:
    """What stops the translation, tried without the passes that make it good: they take most of the time."""
    ct = libraries.coremltools()
    try:
        with _unwarned(), libraries.quiet():
            ct.convert(
                program,
                convert_to="milinternal",
                pass_pipeline=ct.PassPipeline.EMPTY,
                minimum_deployment_target=ct.target.iOS17,
            )
    except FAILURES as failure:
        what = f"coremltools cannot translate it: {_reason(failure)}"
        yield Finding("translation", "model", what, "replace it in the model", fatal=True)


def _reason(failure: BaseException) -> str:
    return (str(failure).strip().splitlines() or [type(failure).__name__])[0]


def translatable(backbone: Backbone, batch: int | None) -> ExportedProgram:
    """The backbone's program in operators that coremltools translates, with a fixed batch."""
    refuse_simulated(backbone)
    traced = export_program(backbone.module, backbone.preprocessing.input_size, batch or 1)
    with _unwarned():
        program: ExportedProgram = traced.run_decompositions({})
    rewrite(program.graph_module)
    return program


def convert(backbone: Backbone, program: ExportedProgram, options: Options, system: str, scratch: Path) -> Any:
    """The program as a model of coremltools, for a system and newer ones, with its weights below `scratch`."""
    ct = libraries.coremltools()
    coreml_ops.register()
    shape = (options.batch or 1, *backbone.preprocessing.input_size)
    image = ct.TensorType(name=INPUT, shape=shape, dtype=np.float32)
    names = [OUTPUT]
    if options.image_input:
        coreml_image.normalize(program, backbone.preprocessing)
        image = coreml_image.image_type(ct, INPUT, shape)
        if backbone.classes:
            coreml_image.add_probabilities(program)
            names.append(coreml_image.PROBABILITIES)
    common = {
        "inputs": [image],
        "compute_precision": ct.precision.FLOAT16,
        "minimum_deployment_target": ct.target[system],
        "skip_model_load": True,
    }
    package = str(scratch / FILE)
    try:
        with _unwarned(), libraries.quiet():
            outputs = [ct.TensorType(name=name, dtype=np.float32) for name in names]
            if len(names) == 1:
                return ct.convert(program, outputs=outputs, convert_to="mlprogram", package_dir=package, **common)
            inner = ct.convert(program, outputs=outputs, convert_to="milinternal", **common)
            return coreml_image.classify(ct, inner, backbone.classes, {**common, "package_dir": package})
    except FAILURES as failure:
        raise UserError(
            f"{backbone.name} cannot become Core ML: {_reason(failure)}; change the model, or choose another target"
        ) from failure


@contextmanager
def _unwarned() -> Iterator[None]:
    """A block without torch's and coremltools' warnings about their own and each other's old calls."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        yield
