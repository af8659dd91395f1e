"""ONNX with onnxruntime's own operators, where they were measured to be faster than what it makes of standard ones.

The model is that of the `onnx` target, rewritten by the [passes](passes/__init__.py) of both lists.
"""

from collections.abc import Iterator
from pathlib import Path

from ..models.backbone import Backbone
from . import passes, to_onnx
from .artifact import Artifact
from .options import DEFAULTS, Options
from .packing import pack_weights
from .preflight import Finding, Subject


def write(backbone: Backbone, folder: Path, options: Options = DEFAULTS) -> Artifact:
    """Write `folder/model.onnx`."""
    model = to_onnx.translate(backbone, options)
    passes.run(model, *passes.STANDARD, *passes.ONNXRUNTIME)
    pack_weights(model)
    return to_onnx.save(model, backbone.precision, "onnxruntime", folder)


def check(subject: Subject) -> Iterator[Finding]:
    """The same rules as those of the standard model."""
    return to_onnx.check(subject)
