"""What this machine offers to a run, and what to do about what is missing."""

import platform
from dataclasses import dataclass

from . import RUNTIMES, Runtime, machine

LIBRARIES = ("torch", "timm", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf", "coremltools", "numpy")
"""What results depend on."""

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
    here = machine.describe(LIBRARIES)
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
        *(_engine(runtime) for runtime in RUNTIMES.values()),
    ]


def _engine(runtime: Runtime) -> Finding:
    reason, _, mend = (runtime.missing() or "").partition(": ")
    return Finding(f"engine {runtime.name}", reason or "ready", mend)
