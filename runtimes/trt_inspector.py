"""What a TensorRT engine executes, from what its inspector tells of it.

The inspector goes layer by layer, and a layer names the nodes of the ONNX file that it was fused from. Which of those
multiply matrices, and how large, is in the plan that was written with the file: the device needs no ONNX library.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import VerificationFailed
from .audit import Kernel

TYPES = (
    ("int8", r"int8|i8i8"),
    ("int4", r"int4"),
    ("fp8", r"fp8|e4m3"),
    ("bf16", r"bf16|bfloat16"),
    ("fp16", r"half|fp16|float16"),
    ("fp32", r"float|fp32|tf32"),
)
"""What a precision is called in the inspector's formats, the telling ones first."""
WORKING = re.compile(r"gemm|conv|matmul|matrixmultiply|mha|fusion|attention", re.IGNORECASE)
"""Layers that multiply, by their type, as against those that only move what a node works on."""


def kernels(told: Mapping[str, Any], products: Mapping[str, Any]) -> list[Kernel]:
    """What the inspector tells, product by product; one that it does not name is executed in "no layer"."""
    layers = told["Layers"]
    if any(isinstance(layer, str) for layer in layers):
        raise VerificationFailed("the engine tells the names of its layers only; build it with build.py")
    working: dict[str, str] = {}
    for layer in sorted(layers, key=lambda layer: not WORKING.search(layer.get("LayerType", ""))):
        for node in _nodes(layer):
            working.setdefault(node, _precision(layer))
    return [
        Kernel(
            product["operator"],
            name,
            tuple((working.get(name, "no layer"), tuple(shape)) for shape in product["inputs"]),
            ((working.get(name, "no layer"), tuple(product["output"])),),
        )
        for name, product in products.items()
    ]


def _nodes(layer: Mapping[str, Any]) -> Iterator[str]:
    """The nodes of the ONNX file that a layer was fused from: of its metadata, or else of its name."""
    named = re.findall(r"\[ONNX Layer: ([^\]]+)\]", layer.get("Metadata") or "")
    yield from named or re.split(r" \+ |\+", layer.get("Name", ""))


def _precision(layer: Mapping[str, Any]) -> str:
    """What a layer multiplies in: the type of its first input, but integers where its tactic says so."""
    inputs = layer.get("Inputs") or [{}]
    tactic = str(layer.get("TacticName", ""))
    if re.search(r"i8i8|_i8_", tactic):
        return "int8"
    kind = str(inputs[0].get("DataType") or inputs[0].get("Datatype") or inputs[0].get("Format/Datatype") or "")
    return next((name for name, pattern in TYPES if re.search(pattern, kind, re.IGNORECASE)), kind or "unknown")
