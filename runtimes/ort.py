"""ONNX Runtime on the CPU."""

import json
import re
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import libraries
from ..errors import UserError, VerificationFailed
from ..layers import layer_of
from .audit import Kernel

NAME = "onnxruntime"


def missing() -> str | None:
    """Why this engine cannot run here."""
    return libraries.missing("onnxruntime")


@dataclass(frozen=True)
class Input:
    """One input of a file: what onnxruntime calls its type, and its sizes; free ones by symbol, or None."""

    name: str
    kind: str
    sizes: tuple[int | str | None, ...]

    def __str__(self) -> str:
        return "x".join("?" if size is None else str(size) for size in self.sizes) or "no axes"


class OrtSession:
    """A loaded artifact; a context manager, and `run(images) -> logits`."""

    def __init__(self, path: Path, threads: int | None = None, profile: Path | None = None) -> None:
        ort = libraries.onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile)
            # Kernels are the same either way, but packed weights are missing from the shapes that the profile notes.
            options.add_session_config_entry("session.disable_prepacking", "1")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except ort.capi.onnxruntime_pybind11_state.NoSuchFile as failure:
            raise UserError(f"{path} does not exist; give an ONNX file") from failure
        except (
            ort.capi.onnxruntime_pybind11_state.Fail,
            ort.capi.onnxruntime_pybind11_state.InvalidArgument,
            ort.capi.onnxruntime_pybind11_state.InvalidGraph,
            ort.capi.onnxruntime_pybind11_state.InvalidProtobuf,
            ort.capi.onnxruntime_pybind11_state.NotImplemented,
        ) as failure:
            reason = str(failure).strip().splitlines()[0]
            raise VerificationFailed(f"onnxruntime cannot load {path}: {reason}") from failure
        self.inputs = tuple(Input(one.name, one.type, tuple(one.shape)) for one in self._session.get_inputs())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        del self._session

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """The first input's shape; None where it is free."""
        sizes = self.inputs[0].sizes if self.inputs else ()
        return tuple(size if isinstance(size, int) else None for size in sizes)

    @property
    def metadata(self) -> dict[str, str]:
        """The artifact's own notes: preprocessing, classes, origin."""
        notes: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return notes

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits of a batch."""
        return self.run_all(images)[0]

    def run_all(self, images: NDArray[np.float32] | Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Every output for a batch, or for arrays by the names of the inputs."""
        fed = images if isinstance(images, Mapping) else {self.inputs[0].name: images}
        results: list[NDArray[np.float32]] = self._session.run(None, fed)
        return results

    def end_profiling(self) -> Path:
        """Stop profiling; the file with what ran."""
        return Path(self._session.end_profiling())


def executed(path: Path, images: NDArray[np.float32] | Mapping[str, NDArray[Any]]) -> list[Kernel]:
    """The kernels that one inference runs, after the runtime's own optimizations, with their types and shapes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        OrtSession(path, threads=1, profile=Path(folder) / "profile") as session,
    ):
        session.run_all(images)
        events = json.loads(session.end_profiling().read_text())
    return [
        Kernel(
            operator=event["args"]["op_name"],
            name=_node(event["name"].removesuffix("_kernel_time")),
            inputs=_tensors(event["args"]["input_type_shape"]),
            outputs=_tensors(event["args"]["output_type_shape"]),
        )
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]


def values(path: Path, images: NDArray[np.float32], names: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """What the file computes under those of the names that it has."""
    import onnx_ir

    model = onnx_ir.load(path)
    found = {str(value.name): value for node in model.graph for value in node.outputs if value.name in names}
    if not found:
        return {}
    model.graph.outputs[:] = found.values()
    for value in found.values():
        value.type = value.type or onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
    with tempfile.TemporaryDirectory() as folder:
        onnx_ir.save(model, Path(folder) / "model.onnx")
        with OrtSession(Path(folder) / "model.onnx") as session:
            return dict(zip(found, session.run_all(images), strict=True))


def promised(path: Path) -> dict[str, str]:
    """Node -> layer, for the nodes of an ONNX file that multiply by stored codes: what should run in integers."""
    import onnx_ir

    graph = onnx_ir.load(path).graph
    fixed = set(graph.initializers.values())
    codes: dict[onnx_ir.Value, str] = {}
    for node in graph:
        if all(value is None or value in fixed for value in node.inputs):  # packed codes are unpacked by such nodes
            fixed.update(node.outputs)
            if node.op_type == "DequantizeLinear" and node.inputs[0] is not None:
                codes[node.outputs[0]] = str(node.inputs[0].name)
    read = {str(node.name): codes[value] for node in graph for value in node.inputs if value in codes}
    for node in graph:
        weight = node.inputs[1] if node.op_type in _READ_CODES else None
        if weight in fixed and weight is not None:
            read[str(node.name)] = str(weight.name)
    return {node: layer_of(name.partition("/")[0]) for node, name in read.items()}  # behind it, the number of a part


_READ_CODES = ("MatMulIntegerToFloat", "ConvInteger")
"""Operators whose second input is codes as they are."""


def _node(kernel: str) -> str:
    """The node of the file that a kernel was made of: some fusions add to its name."""
    return re.sub(r"(_token_\d+|/.*)$", "", kernel)


def _tensors(noted: list[dict[str, list[int]]]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((kind, tuple(shape)) for entry in noted for kind, shape in entry.items())
