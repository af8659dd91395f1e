"""The targets: one row a target, one file each."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..models.backbone import Backbone
from ..models.data import Batches
from . import to_onnx
from .artifact import Artifact
from .options import Options
from .preflight import Finding, Subject


@dataclass(frozen=True)
class Target:
    """A format: how it is written and foreseen, the scheme its integers follow, and which engines serve it."""

    name: str
    write: Callable[[Backbone, Path, Options], Artifact]
    check: Callable[[Subject], Iterable[Finding]]
    scheme: str
    runtimes: tuple[str, ...]
    """The device's own engine first; the first that runs on this machine is the one that verifies."""
    exact_floats: bool = True
    """Whether its float part computes in 32 bits."""
    rivals: Callable[[Backbone, Path, Options, Batches], list[Artifact]] | None = None
    """What other tools make of the float backbone for it, to be measured beside ours."""


TARGETS = {
    target.name: target
    for target in (Target("onnx", to_onnx.write, to_onnx.check, scheme="asymmetric", runtimes=("onnxruntime",)),)
}
