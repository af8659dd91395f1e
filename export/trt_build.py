"""Build a TensorRT engine from the ONNX file beside this script, on the device that will serve it.

    python build.py [FOLDER]

It needs Python 3.10 or newer and `tensorrt` 10 or 11, as JetPack brings it, and nothing else. What to build stands in
build.json: the ONNX file and its hash, the shapes that the engine takes, how long to search. The network is strongly
typed: the file says which values are int8, float16 or float32, and TensorRT chooses none. The engine is named after the
version and the device that it runs on, and on no other; the timing cache beside it makes the next build quick.

The same text is vitc's own builder and the script that it ships.
"""

import ctypes
import hashlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLAN = "build.json"
OLDEST = 10
"""TensorRT before it has no strongly typed networks with 4-bit weights."""
DRIVER = "libcuda.so.1"
CAPABILITY = 75, 76
"""The driver's attributes COMPUTE_CAPABILITY_MAJOR and _MINOR."""

Plan = Mapping[str, Any]
Report = Callable[[str, int, int], object]
"""Told how far an outermost phase is: its name, steps done, steps in all."""


class BuildError(Exception):
    """One line: what is wrong, and what to do."""


@dataclass(frozen=True)
class Device:
    """The GPU that engines are made for."""

    name: str
    capability: tuple[int, int]


def missing() -> str | None:
    """Why no engine can be built or run here; None where it can."""
    if importlib.util.find_spec("tensorrt") is None:
        return "tensorrt is not installed: pip install tensorrt, on a machine with an NVIDIA GPU"
    try:
        driver = load_driver()
    except OSError:
        return f"there is no NVIDIA driver ({DRIVER}): run it on a machine with an NVIDIA GPU"
    if driver.cuInit(0) != 0:
        return "the NVIDIA driver finds no GPU: run it on a machine with one"
    return None


def load_driver() -> Any:
    """The CUDA driver, which is wherever a GPU can be used."""
    return ctypes.CDLL(DRIVER)


def first_device() -> Device:
    """The GPU that TensorRT takes where it is told nothing else."""
    driver = load_driver()
    handle, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    sizes = [ctypes.c_int() for _ in CAPABILITY]
    codes = [driver.cuInit(0), driver.cuDeviceGet(ctypes.byref(handle), 0)]
    codes.append(driver.cuDeviceGetName(name, len(name), handle))
    codes += [
        driver.cuDeviceGetAttribute(ctypes.byref(size), which, handle)
        for size, which in zip(sizes, CAPABILITY, strict=True)
    ]
    if any(codes):
        raise BuildError(f"the NVIDIA driver answers {max(codes)} when asked for its GPU; check it with nvidia-smi")
    return Device(name.value.decode(), (sizes[0].value, sizes[1].value))


def engine_name(version: str, device: Device) -> str:
    """What an engine for this version and device is called: model.trt10.3-orin-sm87.engine."""
    slug = re.sub(r"[^a-z0-9]+", "-", device.name.lower()).strip("-")
    release = ".".join(version.split(".")[:2])
    return f"model.trt{release}-{slug}-sm{device.capability[0]}{device.capability[1]}.engine"


def build(folder: Path, report: Report | None = None) -> Path:
    """Build the engine that the plan in `folder` describes; its path."""
    if reason := missing():
        raise BuildError(reason)
    import tensorrt as trt

    plan = json.loads((folder / PLAN).read_text("utf-8"))
    onnx = (folder / plan["onnx"]).read_bytes()
    if hashlib.sha256(onnx).hexdigest() != plan["onnx_sha256"]:
        raise BuildError(f"{plan['onnx']} is not the file that {PLAN} was written for; copy the whole folder again")
    path = folder / engine_name(trt.__version__, first_device())
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(creation_flags(trt))
    parse(trt.OnnxParser(network, logger), onnx)
    config = configure(trt, builder, plan)
    config.progress_monitor = make_monitor(trt, report or (lambda *_: None))
    cache = path.with_suffix(".cache")
    attach_cache(config, cache.read_bytes() if cache.is_file() else b"")
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise BuildError(f"TensorRT builds no engine: {logger.errors[-1] if logger.errors else 'it gives no reason'}")
    replace(cache, config.get_timing_cache().serialize())
    replace(path, engine)
    return path


def creation_flags(trt: Any) -> int:
    """How a strongly typed network is asked for: the one place where the versions differ.

    TensorRT 10 wants a flag; 11 knows no other networks, and ignores the flag.
    """
    major = int(trt.__version__.split(".")[0])
    if major < OLDEST:
        raise BuildError(f"this is TensorRT {trt.__version__}; {OLDEST}.0 or newer is needed")
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) if major == OLDEST else 0


def parse(parser: Any, onnx: bytes) -> None:
    """Read the ONNX file into the parser's network; what it refuses is told by node."""
    if parser.parse(onnx):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    told = [f"{error.node_name() or error.node()} ({error.node_operator()}): {error.desc()}" for error in errors]
    raise BuildError("TensorRT cannot read the ONNX file: " + "; ".join(told or ["it gives no reason"]))


def configure(trt: Any, builder: Any, plan: Plan) -> Any:
    """How to build: memory, effort, shapes, and layers that can be looked at afterwards."""
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, plan["workspace_mib"] << 20)
    config.builder_optimization_level = plan["optimization_level"]
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if plan["profile"]:
        profile = builder.create_optimization_profile()
        for name, shapes in plan["profile"].items():
            profile.set_shape(name, shapes["min"], shapes["opt"], shapes["max"])
        if config.add_optimization_profile(profile) < 0:
            raise BuildError(f"TensorRT refuses the shapes {plan['profile']}; mend them in {PLAN}")
    return config


def attach_cache(config: Any, timings: bytes) -> None:
    """Start from earlier timings; from none where they are of another version or device."""
    if not config.set_timing_cache(config.create_timing_cache(timings), ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def make_logger(trt: Any) -> Any:
    """A logger that keeps what went wrong."""
    bad = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

    class Logger(trt.ILogger):  # type: ignore[misc]
        """Errors are kept, the rest is dropped."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: object, msg: str) -> None:
            """Called by TensorRT."""
            if severity in bad:
                self.errors.append(" ".join(msg.split()))

    return Logger()


def make_monitor(trt: Any, report: Report) -> Any:
    """Hands TensorRT's progress on to `report`."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Called by TensorRT, from several threads."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            """A phase begins, within another or on its own."""
            if parent_phase is None:
                self.steps[phase_name] = num_steps
                report(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """A step of a phase is done; the build goes on."""
            if phase_name in self.steps:
                report(phase_name, step + 1, self.steps[phase_name])
            return True

        def phase_finish(self, phase_name: str) -> None:
            """A phase is over."""
            steps = self.steps.pop(phase_name, None)
            if steps is not None:
                report(phase_name, steps, steps)

    return Monitor()


def trtexec(plan: Plan) -> str:
    """The command that builds the same engine with NVIDIA's own tool."""
    shapes = [
        f"--{end}Shapes={name}:{'x'.join(map(str, shape[end]))}"
        for end in ("min", "opt", "max")
        for name, shape in plan["profile"].items()
    ]
    effort = [
        f"--builderOptimizationLevel={plan['optimization_level']}",
        f"--memPoolSize=workspace:{plan['workspace_mib']}",
    ]
    files = [f"--onnx={plan['onnx']}", "--saveEngine=model.engine", "--timingCacheFile=timing.cache"]
    return " ".join(["trtexec", *files, "--stronglyTyped", *shapes, *effort, "--profilingVerbosity=detailed"])


def replace(path: Path, content: Any) -> None:
    """Write a file under a temporary name, then give it its own: it is whole or not there."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(memoryview(content))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def main(arguments: Sequence[str]) -> int:
    """Build in the folder that is named, or in the script's own."""
    folder = Path(arguments[0]) if arguments else Path(__file__).resolve().parent
    try:
        path = build(folder, lambda phase, done, steps: _say(f"\r{phase}: {done} of {steps}\x1b[K"))
    except (BuildError, OSError) as failure:
        _say(f"\nbuild.py: {failure}\n")
        return 1
    _say(f"\nbuilt {path}\n")
    return 0


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
