"""Versions that do not work together, each found out by what is installed, with the line that mends it."""

import re
from collections.abc import Iterator
from importlib import metadata

from .. import libraries
from ..export.to_onnx import OPSET

VISION_AHEAD = 15
"""The torchvision for torch 2.N is 0.(N + 15)."""


def conflicts() -> list[str]:
    """One line each, as `what: mend`; none where everything goes together."""
    return [*outside(metadata.requires("vitc") or []), *_vision(), *_opset()]


def outside(requirements: list[str]) -> Iterator[str]:
    """The libraries that are missing, or whose versions vitc was not made for."""
    for line in requirements:
        requirement, _, condition = (part.strip() for part in line.partition(";"))
        if condition:
            continue
        name = re.split(r"[^\w.-]", requirement)[0]
        found = version(name)
        if found is None:
            yield f"{name} is not installed: pip install '{requirement}'"
        elif not fits(found, requirement.removeprefix(name)):
            yield f"{name} {found} is not what vitc was made for: pip install '{requirement}'"


def fits(found: str, bounds: str) -> bool:
    """Whether a version keeps bounds as `>=2.0,<3`."""
    here = numbers(found)
    for bound in filter(None, (part.strip() for part in bounds.split(","))):
        sign, number = (bound[:2], bound[2:]) if bound[1] == "=" else (bound[:1], bound[1:])
        limit = numbers(number)
        if not {">=": here >= limit, "<": here < limit}.get(sign, True):
            return False
    return True


def numbers(found: str) -> tuple[int, ...]:
    """The release that a version names, without what follows it: (2, 13) of 2.13.0+cpu; ends of 0 do not count."""
    release = re.match(r"\d+(?:\.\d+)*", found)
    parts = [int(part) for part in release[0].split(".")] if release else []
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


def version(name: str) -> str | None:
    """The version that is installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _vision() -> Iterator[str]:
    """The compiled part of torchvision goes with one torch only; vitc does without it."""
    torch, vision = version("torch"), version("torchvision")
    if torch and vision and (built := vision_for(torch)) != ".".join(vision.split(".")[:2]):
        yield f"torchvision {vision} is not built for torch {torch}: pip install torchvision=={built}.*"


def vision_for(torch: str) -> str:
    """The torchvision that goes with a torch."""
    return f"0.{int(torch.split('.')[1]) + VISION_AHEAD}"


def _opset() -> Iterator[str]:
    """Whether the engine reads the operators that vitc writes: a file that says nothing else is opened."""
    if libraries.missing("onnxruntime") or libraries.missing("onnx"):
        return
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "read", value[:1], value[1:])
    opset = helper.make_opsetid("", OPSET)
    oldest = helper.find_min_ir_version_for([opset])
    model = helper.make_model(graph, opset_imports=[opset], ir_version=oldest)
    ort = libraries.onnxruntime()
    try:
        ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except (ort.capi.onnxruntime_pybind11_state.Fail, ort.capi.onnxruntime_pybind11_state.InvalidGraph):
        yield f"onnxruntime {ort.__version__} does not read vitc's opset {OPSET}: pip install -U onnxruntime"
