"""The targets: one row a target, one file each."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..models.backbone import Backbone
from ..models.data import Batches
from . import openvino_rivals, to_coreml, to_onnx, to_onnxruntime, to_openvino, to_tensorrt
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
    integer_attention: bool = False
    """Whether its engine gains by attention products in 8 bits: they are rounded then, if nobody says otherwise."""
    one_bit: str = "8-bit integers"
    """As what its engine multiplies attention of one bit."""
    fewer: str = "stored so, int8 executed"
    """What becomes of weights of fewer than 8 bits."""
    rivals: Callable[[Backbone, Path, Options, Batches], list[Artifact]] | None = None
    """What other tools make of the float backbone for it, to be measured beside ours."""


TARGETS = {
    target.name: target
    for target in (
        Target("onnx", to_onnx.write, to_onnx.check, "asymmetric", ("onnxruntime",)),
        Target("onnxruntime", to_onnxruntime.write, to_onnxruntime.check, "asymmetric", ("onnxruntime",)),
        Target(
            "openvino",
            to_openvino.write,
            to_openvino.check,
            "asymmetric",
            ("openvino",),
            exact_floats=False,
            integer_attention=True,
            rivals=openvino_rivals.rivals,
        ),
        Target(
            "tensorrt",
            to_tensorrt.write,
            to_tensorrt.check,
            "symmetric",
            ("tensorrt", "tensorrt-reference"),
            exact_floats=False,
            one_bit="16-bit floats",
            fewer="stored in 4 bits, as TensorRT has none below; float16 executed",
        ),
        Target(
            "coreml",
            to_coreml.write,
            to_coreml.check,
            "symmetric",
            ("coreml", "coreml-reference"),
            exact_floats=False,
            one_bit="16-bit floats",
            fewer="stored so; the device unfolds them to float16",
        ),
    )
}
