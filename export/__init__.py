"""The targets: one row a target, one file each."""

from collections.abc import Callable
from dataclasses import dataclass

from . import to_onnx
from .artifact import Artifact


@dataclass(frozen=True)
class Target:
    """A format: how it is written, the scheme its integers follow, and which engine serves it."""

    name: str
    write: Callable[..., Artifact]
    scheme: str
    runtime: str


TARGETS = {target.name: target for target in (Target("onnx", to_onnx.write, scheme="onnx", runtime="onnxruntime"),)}
