"""OpenVINO on the CPU.

A free batch is fixed to the size of the first images that come, and anew when another size comes: kernels for known
shapes are faster. Floats are computed in the type that OpenVINO itself prefers on the machine: bf16 where the processor
multiplies it, else f32.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import libraries
from ..errors import UserError, VerificationFailed
from .audit import Kernel
from .ov_graph import kernels, promises

NAME = "openvino"
DEVICE = "CPU"
NOTES = "framework"
"""Where an IR keeps the metadata of the ONNX file it was made of."""


def missing() -> str | None:
    """Why this engine cannot run here."""
    return libraries.missing("openvino")


class OvSession:
    """A loaded artifact; a context manager, and `run(images) -> logits`."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._path, self._core = path, libraries.openvino().Core()
        self._model = _read(self._core, path)
        self._options = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads or 0),
            "INFERENCE_PRECISION_HINT": precision(self._core),
        }
        self._compiled: tuple[int, Any, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        del self._compiled, self._model, self._core

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """The input's shape; None where it is free."""
        shape = self._model.inputs[0].get_partial_shape()
        return tuple(size.get_length() if size.is_static else None for size in shape)

    @property
    def metadata(self) -> dict[str, str]:
        """The artifact's own notes: preprocessing, classes, origin."""
        if not self._model.has_rt_info(NOTES):
            return {}
        return {key: str(note) for key, note in self._model.get_rt_info(NOTES).value.items()}

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits of a batch."""
        return self.run_all(images)[0]

    def run_all(self, images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Every output for a batch."""
        if self._compiled is None or self._compiled[0] != len(images):
            self._compiled = None  # before the next one is made: two would take twice the memory
            compiled = self.compiled(len(images))
            self._compiled = len(images), compiled, compiled.create_infer_request()
        results = self._compiled[2].infer([np.ascontiguousarray(images)])
        return [np.array(result) for result in results.values()]

    def compiled(self, batch: int) -> Any:
        """The model as OpenVINO runs it for that many images; `model_of` has its shapes."""
        try:
            return self._core.compile_model(self.model_of(batch), DEVICE, self._options)
        except RuntimeError as failure:
            raise VerificationFailed(f"openvino cannot compile {self._path}: {_reason(failure)}") from failure

    def model_of(self, batch: int) -> Any:
        """The model with its batch fixed."""
        model = self._model.clone()
        try:
            model.reshape([batch, *self.input_shape[1:]])
        except RuntimeError as failure:
            raise UserError(
                f"{self._path} takes inputs of shape {self.input_shape}, not {batch} images; give as many"
            ) from failure
        return model

    def add_outputs(self, names: Collection[str]) -> list[str]:
        """Have those of the values given out beside the logits that the model has; their names, in order."""
        held = {name for node in self._model.get_ops() for output in node.outputs() for name in output.get_names()}
        found = [name for name in names if name in held]
        self._model.add_outputs(found)
        return found


def precision(core: Any) -> str:
    """The type that OpenVINO prefers for floats on this machine."""
    name: str = core.get_property(DEVICE, "INFERENCE_PRECISION_HINT").get_type_name()
    return name


def executed(path: Path, images: NDArray[np.float32]) -> list[Kernel]:
    """The kernels that one inference runs, after the runtime's own optimizations, with their types and shapes."""
    with OvSession(path, threads=1) as session:
        return kernels(session.model_of(len(images)), session.compiled(len(images)).get_runtime_model())


def promised(path: Path) -> dict[str, str]:
    """Node -> layer, for the products of an IR whose both factors are dequantized codes: these should be integer."""
    return promises(_read(libraries.openvino().Core(), path))


def values(path: Path, images: NDArray[np.float32], names: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """What the file computes under those of the names that it has."""
    with OvSession(path) as session:
        found = session.add_outputs(names)
        return dict(zip(found, session.run_all(images)[1:], strict=True))


def _read(core: Any, path: Path) -> Any:
    for file in (path, path.with_suffix(".bin")):
        if not file.is_file():
            raise UserError(f"{file} does not exist; give an OpenVINO model.xml with its model.bin beside it")
    try:
        return core.read_model(path)
    except RuntimeError as failure:
        raise VerificationFailed(f"openvino cannot load {path}: {_reason(failure)}") from failure


def _reason(failure: RuntimeError) -> str:
    """The last line of OpenVINO's message: those before say where in its source it was raised."""
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    return lines[-1] if lines else "it gives no reason"
