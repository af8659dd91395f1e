"""The engines: one row an engine, one file each; a library is imported when a session opens."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from .. import libraries
from . import coreml, mil, mil_audit, ort, ov, trt
from .audit import Kernel


class Session(Protocol):
    """A loaded artifact."""

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """The input's shape; None where it is free."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """The artifact's own notes: preprocessing, classes, origin."""

    def __enter__(self) -> Self:
        """Ready to run."""

    def __exit__(self, *exception: object) -> None:
        """Give back what it holds."""

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits of a batch."""


@dataclass(frozen=True)
class Runtime:
    """An engine: how an artifact is opened on it, and how it tells what it really ran."""

    name: str
    open: Callable[[Path, int | None], Session]
    executed: Callable[[Path, NDArray[np.float32]], Sequence[Kernel]] | None
    """The kernels that an artifact runs as; None where the engine cannot tell."""
    promised: Callable[[Path], Mapping[str, str]]
    missing: Callable[[], str | None]
    """Why it cannot run on this machine, and the mend, in one line; None where it can."""
    values: Callable[[Path, NDArray[np.float32], Collection[str]], Mapping[str, NDArray[np.float32]]] | None = None
    """What an artifact computes on the way, by name; None where the engine cannot tell."""
    library: Callable[[], object] | None = None
    """Import the engine's library: what a process holds before it loads an artifact is its idle memory."""
    timed: bool = True
    """Whether its times and its memory say anything: a reference interpreter's do not."""
    device: str = "cpu"
    """What it runs on, and whose energy counts: cpu, gpu, or soc where it chooses itself."""


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime(ort.NAME, ort.OrtSession, ort.executed, ort.promised, ort.missing, ort.values, libraries.onnxruntime),
        Runtime(ov.NAME, ov.OvSession, ov.executed, ov.promised, ov.missing, ov.values, libraries.openvino),
        Runtime(trt.NAME, trt.TrtSession, trt.executed, trt.promised, trt.missing, library=trt.library, device="gpu"),
        # onnxruntime reads the same file: its answers stand in for TensorRT's, its kernels and its times do not.
        Runtime("tensorrt-reference", ort.OrtSession, None, ort.promised, ort.missing, ort.values, timed=False),
        # The Neural Engine does not tell what it runs; the program does.
        Runtime(
            coreml.NAME,
            coreml.CoreMLSession,
            mil_audit.executed,
            mil_audit.promised,
            coreml.missing,
            library=libraries.coremltools,
            device="soc",
        ),
        Runtime(
            mil.NAME,
            mil.MilSession,
            mil_audit.executed,
            mil_audit.promised,
            mil.missing,
            mil.values,
            timed=False,
        ),
    )
}
