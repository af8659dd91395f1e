"""TensorRT on an NVIDIA GPU: the engine that was built beside the ONNX file, for this version and this device."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import NotAvailable, UserError, VerificationFailed
from .audit import Kernel
from .cuda import Cuda
from .trt_inspector import kernels

NAME = "tensorrt"


def _script() -> Any:
    """What build.py knows of engines and devices. It is read as the lone file that it is: its folder brings torch."""
    spec = spec_from_file_location("build", Path(__file__).parents[1] / "export" / "trt_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = _script()


def missing() -> str | None:
    """Why this engine cannot run here."""
    reason: str | None = script.missing()
    return reason


def library() -> Any:
    """The module, or one line on how to get it."""
    if problem := missing():
        raise NotAvailable(problem)
    import tensorrt

    return tensorrt


def plan_of(path: Path) -> dict[str, Any]:
    """What was written beside an ONNX file, for whoever builds or reads its engine."""
    plan = path.parent / script.PLAN
    if not plan.is_file():
        raise UserError(f"{plan} does not exist; give the folder that the export wrote, whole")
    found: dict[str, Any] = json.loads(plan.read_text("utf-8"))
    return found


class TrtSession:
    """A loaded engine; a context manager, and `run(images) -> logits`."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        del threads  # the GPU does the work
        trt = library()
        self._plan = plan_of(path)
        engine_path = path.parent / script.engine_name(trt.__version__, script.first_device())
        if not engine_path.is_file():
            raise UserError(f"{engine_path} is not built; run `python {path.parent / 'build.py'}` on this device")
        self._logger = script.make_logger(trt)
        self._runtime = trt.Runtime(self._logger)
        self.engine = self._runtime.deserialize_cuda_engine(engine_path.read_bytes())
        if self.engine is None:
            reason = next(reversed(self._logger.errors), "it gives no reason")
            raise VerificationFailed(f"TensorRT cannot load {engine_path}: {reason}; build it again")
        names = [self.engine.get_tensor_name(index) for index in range(self.engine.num_io_tensors)]
        modes = {name: self.engine.get_tensor_mode(name) for name in names}
        (self._input,) = (name for name in names if modes[name] == trt.TensorIOMode.INPUT)
        (self._output,) = (name for name in names if modes[name] == trt.TensorIOMode.OUTPUT)
        self.context = self.engine.create_execution_context()
        self._cuda = Cuda(script.load_driver())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._cuda.close()
        del self.context, self.engine, self._runtime

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """The input's shape; None where it is free."""
        return tuple(None if size < 0 else size for size in self.engine.get_tensor_shape(self._input))

    @property
    def metadata(self) -> dict[str, str]:
        """The artifact's own notes: preprocessing, classes, origin."""
        notes: dict[str, str] = self._plan["metadata"]
        return notes

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits of a batch; one larger than the engine takes goes in parts."""
        most = self._plan["profile"].get(self._input, {}).get("max", images.shape)[0]
        parts = [self._run(images[start : start + most]) for start in range(0, len(images), most)]
        return np.concatenate(parts)

    def shape(self, images: NDArray[np.float32]) -> None:
        """Set the context to the shape of these images."""
        if not self.context.set_input_shape(self._input, images.shape):
            raise UserError(f"the engine does not take images of shape {images.shape}; it takes {self.input_shape}")

    def _run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        self.shape(images)
        logits = np.empty(tuple(self.context.get_tensor_shape(self._output)), dtype=np.float32)
        self.context.set_tensor_address(self._input, self._cuda.upload(self._input, images.astype(np.float32)))
        self.context.set_tensor_address(self._output, self._cuda.buffer(self._output, logits.nbytes))
        if not self.context.execute_async_v3(stream_handle=self._cuda.stream):
            raise VerificationFailed(f"TensorRT fails: {next(reversed(self._logger.errors), 'it gives no reason')}")
        self._cuda.download(self._output, logits)
        return logits


def executed(path: Path, images: NDArray[np.float32]) -> list[Kernel]:
    """The products of the ONNX file, in the precision that the engine runs each of them in."""
    trt = library()
    with TrtSession(path) as session:
        session.shape(images)
        inspector = session.engine.create_engine_inspector()
        inspector.execution_context = session.context
        told = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    return kernels(told, plan_of(path)["products"])


def promised(path: Path) -> dict[str, str]:
    """Node -> layer, for the products that should run in 8-bit integers."""
    return {name: found["layer"] for name, found in plan_of(path)["products"].items() if found["promised"] == "int8"}
