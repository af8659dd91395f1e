"""What this machine offers to a run, and what to do about what is missing."""

import platform
from dataclasses import dataclass
from importlib import metadata

from . import machine

ENGINES = {"onnxruntime": "pip install onnxruntime"}
"""The package of each engine, and how to get it."""

INT8_ISA = ("amx_int8", "avx512_vnni", "avx_vnni", "asimddp", "i8mm")
"""Instructions that multiply 8-bit integers four at a time."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for."""

    what: str
    found: str
    mend: str = ""


def findings() -> list[Finding]:
    """Python, processor, libraries and engines."""
    here = machine.describe(("torch", "timm", "onnx", "onnxscript", "numpy"))
    fast = [name for name in here.isa if name in INT8_ISA]
    integers = Finding(
        "int8 instructions",
        ", ".join(fast) or "none",
        "" if fast else "int8 runs on general vector instructions: expect at most about half of VNNI's gain",
    )
    return [
        Finding("python", platform.python_version()),
        Finding("system", here.os),
        Finding("processor", f"{here.cpu}, {here.cores} cores"),
        Finding("vector instructions", ", ".join(here.isa) or "unknown"),
        integers,
        *(Finding(name, version) for name, version in here.packages.items()),
        *(_engine(name, mend) for name, mend in ENGINES.items()),
    ]


def _engine(package: str, mend: str) -> Finding:
    try:
        return Finding(f"engine {package}", metadata.version(package))
    except metadata.PackageNotFoundError:
        return Finding(f"engine {package}", "not installed", mend)
