"""What this machine offers to a run, and what to do about what is missing."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass

from .. import libraries
from . import RUNTIMES, Runtime, affinity, compatible, machine, trt
from .energy import SOURCES, Source
from .together import ENOUGH, Probe

LIBRARIES = ("torch", "timm", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf", "coremltools", "numpy")
"""What results depend on."""

INT8_ISA = ("amx_int8", "avx512_vnni", "avx_vnni", "asimddp", "i8mm")
"""Instructions that multiply 8-bit integers four at a time."""

READY = "ready"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for."""

    what: str
    found: str
    mend: str = ""


@dataclass(frozen=True)
class _Instructions:
    """A set of instructions of a family of processors: its names, and what its lack means."""

    what: str
    names: tuple[str, ...]
    family: tuple[str, ...]
    without: str


_X86, _ARM = ("x86_64", "AMD64", "i386"), ("aarch64", "arm64")
_SETS = (
    _Instructions("AMX", ("amx_int8",), _X86, "int8 runs on VNNI; Xeons from Sapphire Rapids on have AMX"),
    _Instructions("VNNI", ("avx512_vnni", "avx_vnni"), _X86, "processors from Ice Lake or Zen 4 on have it"),
    _Instructions("NEON dot product", ("asimddp",), _ARM, "processors from Armv8.4 on have it"),
    _Instructions("NEON i8mm", ("i8mm",), _ARM, "int8 runs on the dot product; processors from Armv8.6 on have i8mm"),
)


def findings() -> list[Finding]:
    """Python, processor, libraries, engines, devices and energy sensors."""
    here = machine.describe(LIBRARIES)
    return [
        Finding("python", platform.python_version()),
        Finding("system", here.os),
        Finding("processor", f"{here.cpu}, {here.cores} cores"),
        *_cores(here.cores),
        Finding("vector instructions", ", ".join(here.isa) or "unknown"),
        *_instructions(here.isa, platform.machine()),
        *(Finding(name, version) for name, version in here.packages.items()),
        *(_split("versions", conflict) for conflict in compatible.conflicts() or ["work together"]),
        *(_engine(runtime) for runtime in RUNTIMES.values()),
        *_devices(),
        *(_sensor(source) for source in SOURCES.values()),
    ]


def _cores(count: int) -> Iterator[Finding]:
    """Whether they work side by side, where there are several to ask."""
    cores = affinity.choose(count)
    if affinity.whole(cores) < 2:
        return
    with Probe(cores) as probe:
        share = probe()
    shared = "they share a real one now, or are busy: measure at another time, or with --threads 1"
    found = f"together they do {min(share, 1):.0%} of what they do alone"
    yield Finding("cores side by side", found, "" if share >= ENOUGH else shared)


def _split(what: str, line: str) -> Finding:
    """From `what: mend`."""
    reason, _, mend = line.partition(": ")
    return Finding(what, reason, mend)


def _instructions(isa: tuple[str, ...], family: str) -> Iterator[Finding]:
    """Those that make int8 fast, all together and one by one."""
    fast = [name for name in isa if name in INT8_ISA]
    slow = "int8 runs on general vector instructions: expect at most about half of VNNI's gain"
    yield Finding("int8 instructions", ", ".join(fast) or "none", "" if fast else slow)
    for one in _SETS:
        if family in one.family:
            there = not set(one.names).isdisjoint(isa)
            yield Finding(one.what, "there" if there else "not there, or hidden", "" if there else one.without)


def _engine(runtime: Runtime) -> Finding:
    return _split(f"engine {runtime.name}", runtime.missing() or READY)


def _devices() -> Iterator[Finding]:
    """What the engines could run on; vitc measures onnxruntime and OpenVINO on the CPU."""
    if not libraries.missing("onnxruntime"):
        yield Finding("onnxruntime providers", ", ".join(libraries.onnxruntime().get_available_providers()))
    if not libraries.missing("openvino"):
        yield Finding("openvino devices", ", ".join(libraries.openvino().Core().available_devices))
    yield _gpu()


def _gpu() -> Finding:
    try:
        device = trt.script.first_device()
    except OSError:
        return Finding("CUDA", "no NVIDIA driver", "install it where there is a GPU; only TensorRT needs it")
    except trt.script.BuildError as problem:
        return _split("CUDA", str(problem).replace("; ", ": ", 1))
    major, minor = device.capability
    return Finding("CUDA", f"{device.name}, compute capability {major}.{minor}")


def _sensor(source: Source) -> Finding:
    why = source.missing()
    return _split(f"energy {source.name}", READY if why is None else str(why))
