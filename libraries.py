"""The optional libraries: whether one is installed, and its module, imported where it is needed and no earlier."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from io import StringIO
from typing import Any

from .errors import NotAvailable


def missing(name: str) -> str | None:
    """What is missing and the line that installs it; None where it is there."""
    return None if find_spec(name) else f"{name} is not installed: pip install {name}"


def onnxruntime() -> Any:
    """The engine for ONNX files."""
    _require("onnxruntime")
    import onnxruntime

    return onnxruntime


def openvino() -> Any:
    """OpenVINO: its converter and its engine."""
    _require("openvino")
    _without_telemetry()
    import openvino

    return openvino


def nncf() -> Any:
    """OpenVINO's compression tool, told to speak of failures only."""
    _require("nncf")
    _without_telemetry()
    import nncf

    nncf.set_log_level("ERROR")
    return nncf


def coremltools() -> Any:
    """Core ML's converter, which brings torch; imported without its remarks."""
    _require("coremltools")
    with quiet():
        import coremltools
    return coremltools


def _without_telemetry() -> None:
    """Keep OpenVINO from telling its makers: the process it forks for that would disturb what is timed, and may hang.

    Both libraries do without the package where it cannot be imported.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is how an import is refused


@contextmanager
def quiet() -> Iterator[None]:
    """A block in which coremltools neither logs nor draws bars.

    It tells of native parts that only a Mac has, of a torch newer than it was tested with, and of its progress. None of
    that is for the user: what fails is said by whoever called it.
    """
    logger = logging.getLogger("coremltools")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with redirect_stderr(StringIO()):
            yield
    finally:
        logger.setLevel(level)


def torch_pruning() -> Any:
    """The graph of which channels hang together."""
    _require("torch_pruning")
    import torch_pruning

    return torch_pruning


def _require(name: str) -> None:
    if problem := missing(name):
        raise NotAvailable(problem)
