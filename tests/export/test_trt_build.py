import hashlib
import json
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vitc.export import trt_build
from vitc.export.trt_build import BuildError, Device

ONNX = b"an ONNX file"
PROFILE = {"image": {"min": [1, 3, 8, 8], "opt": [1, 3, 8, 8], "max": [8, 3, 8, 8]}}


class Severity:
    INTERNAL_ERROR, ERROR, WARNING = range(3)


class ILogger:
    Severity = Severity

    def __init__(self) -> None:
        self.ready = True


class IProgressMonitor:
    def __init__(self) -> None:
        self.ready = True


class Cache:
    __slots__ = ("timings",)

    def __init__(self, timings: bytes) -> None:
        self.timings = timings

    def serialize(self) -> memoryview:
        return memoryview(self.timings + b"+")


class Profile:
    __slots__ = ("shapes",)

    def __init__(self) -> None:
        self.shapes: dict[str, Any] = {}

    def set_shape(self, input: str, min: list[int], opt: list[int], max: list[int]) -> None:  # noqa: A002  (its names)
        self.shapes[input] = (min, opt, max)


class Config:
    __slots__ = ("builder_optimization_level", "cache", "pools", "profiles", "profiling_verbosity", "progress_monitor")

    progress_monitor: Any
    profiling_verbosity: str
    builder_optimization_level: int

    def __init__(self) -> None:
        self.pools: dict[str, int] = {}
        self.profiles: list[Profile] = []

    def set_memory_pool_limit(self, pool: str, pool_size: int) -> None:
        self.pools[pool] = pool_size

    def add_optimization_profile(self, profile: Profile) -> int:
        fits = all(low <= high for low, _, top in profile.shapes.values() for low, high in zip(low, top, strict=True))
        self.profiles.append(profile)
        return len(self.profiles) - 1 if fits else -1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> Cache:
        return Cache(serialized_timing_cache)

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:  # noqa: FBT001  (the real one's)
        if cache.timings == b"of another device" and not ignore_mismatch:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> Cache:
        return self.cache


class Network:
    __slots__ = ("flags", "onnx")

    def __init__(self, flags: int) -> None:
        self.flags, self.onnx = flags, b""


class ParserError:
    __slots__ = ()

    def node(self) -> int:
        return 7

    def node_name(self) -> str:
        return "node_MatMul_7"

    def node_operator(self) -> str:
        return "MatMul"

    def desc(self) -> str:
        return "types do not match"


class OnnxParser:
    __slots__ = ("network",)
    num_errors = 1

    def __init__(self, network: Network, logger: ILogger) -> None:
        assert logger.ready, "an ILogger whose own constructor was not called crashes the real library"
        self.network = network

    def parse(self, model: bytes) -> bool:
        self.network.onnx = model
        return model == ONNX

    def get_error(self, index: int) -> ParserError:
        assert index == 0
        return ParserError()


class Builder:
    __slots__ = ("built", "config", "logger")
    fails = False
    last: "Builder"

    def __init__(self, logger: Any) -> None:
        assert logger.ready
        self.logger, self.config, type(self).last = logger, Config(), self

    def create_network(self, flags: int) -> Network:
        return Network(flags)

    def create_builder_config(self) -> Config:
        return self.config

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: Config) -> memoryview | None:
        self.built = network
        monitor = config.progress_monitor
        assert monitor.ready
        monitor.phase_start("Building", None, 2)
        monitor.phase_start("Timing", "Building", 9)
        assert monitor.step_complete("Timing", 0) is True
        assert monitor.step_complete("Building", 0) is True
        monitor.phase_finish("Timing")
        monitor.phase_finish("Building")
        self.logger.log(Severity.WARNING, "slow")
        if self.fails:
            self.logger.log(Severity.ERROR, "no implementation\n of node_MatMul_7")
            return None
        return memoryview(b"engine of " + network.onnx)


def library(version: str) -> ModuleType:
    """The part of `tensorrt` that is used; asked for anything else, it raises."""
    made = ModuleType("tensorrt")
    made.__spec__ = ModuleSpec("tensorrt", None)
    parts = {
        "__version__": version,
        "ILogger": ILogger,
        "IProgressMonitor": IProgressMonitor,
        "OnnxParser": OnnxParser,
        "Builder": type("Builder", (Builder,), {"__slots__": ()}),
        "MemoryPoolType": type("MemoryPoolType", (), {"WORKSPACE": "workspace"}),
        "ProfilingVerbosity": type("ProfilingVerbosity", (), {"DETAILED": "detailed"}),
    }
    if version.startswith("10."):  # 11 ignores the flag: here it is not even there
        parts["NetworkDefinitionCreationFlag"] = type("Flag", (), {"STRONGLY_TYPED": 1})
    vars(made).update(parts)
    return made


Install = Callable[[str], Any]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a version of TensorRT and a GPU into this process; gives its builder."""

    def install(version: str) -> Any:
        made = library(version)
        monkeypatch.setitem(sys.modules, "tensorrt", made)
        monkeypatch.setattr(trt_build, "missing", lambda: None)
        monkeypatch.setattr(trt_build, "first_device", lambda: Device("Orin", (8, 7)))
        return made.Builder

    return install


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    plan = {
        "onnx": "model.onnx",
        "onnx_sha256": hashlib.sha256(ONNX).hexdigest(),
        "profile": PROFILE,
        "optimization_level": 4,
        "workspace_mib": 512,
    }
    (tmp_path / "model.onnx").write_bytes(ONNX)
    (tmp_path / "build.json").write_text(json.dumps(plan), "utf-8")
    return tmp_path


def change(folder: Path, **values: Any) -> None:
    path = folder / "build.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


@pytest.mark.parametrize(("version", "release", "flags"), [("10.3.0.30", "10.3", 2), ("11.4.0.106", "11.4", 0)])
def test_an_engine_is_built_as_the_plan_says(
    folder: Path, install: Install, version: str, release: str, flags: int
) -> None:
    builder = install(version)
    path = trt_build.build(folder)
    assert path == folder / f"model.trt{release}-orin-sm87.engine"
    assert path.read_bytes() == b"engine of an ONNX file"
    assert (builder.last.built.flags, builder.last.built.onnx) == (flags, ONNX)
    config = builder.last.config
    assert (config.builder_optimization_level, config.profiling_verbosity) == (4, "detailed")
    assert config.pools == {"workspace": 512 * 2**20}
    assert [profile.shapes for profile in config.profiles] == [{"image": tuple(PROFILE["image"].values())}]
    assert sorted(file.name for file in folder.iterdir()) == sorted(
        ["build.json", "model.onnx", path.name, path.with_suffix(".cache").name]
    )


def test_timings_are_kept_for_the_next_build(folder: Path, install: Install) -> None:
    builder = install("11.4.0")
    cache = trt_build.build(folder).with_suffix(".cache")
    assert cache.read_bytes() == b"+"
    trt_build.build(folder)
    assert builder.last.config.cache.timings == b"+"
    assert cache.read_bytes() == b"++"
    cache.write_bytes(b"of another device")
    trt_build.build(folder)
    assert builder.last.config.cache.timings == b"", "timings of another device are left alone"


def test_progress_is_told_for_the_outermost_phases(folder: Path, install: Install) -> None:
    install("11.4.0")
    seen: list[tuple[str, int, int]] = []
    trt_build.build(folder, lambda *step: seen.append(step))
    assert seen == [("Building", 0, 2), ("Building", 1, 2), ("Building", 2, 2)]


def test_a_fixed_batch_needs_no_profile(folder: Path, install: Install) -> None:
    builder = install("11.4.0")
    change(folder, profile={})
    trt_build.build(folder)
    assert builder.last.config.profiles == []


def test_what_the_parser_refuses_is_told_by_node(folder: Path, install: Install) -> None:
    install("11.4.0")
    (folder / "model.onnx").write_bytes(b"another")
    change(folder, onnx_sha256=hashlib.sha256(b"another").hexdigest())
    with pytest.raises(BuildError, match=r"node_MatMul_7 \(MatMul\): types do not match"):
        trt_build.build(folder)


def test_a_build_that_fails_says_why_and_leaves_nothing(folder: Path, install: Install) -> None:
    install("11.4.0").fails = True
    with pytest.raises(BuildError, match="no implementation of node_MatMul_7"):
        trt_build.build(folder)
    assert sorted(file.name for file in folder.iterdir()) == ["build.json", "model.onnx"]


def test_shapes_that_make_no_profile_are_refused(folder: Path, install: Install) -> None:
    install("11.4.0")
    change(folder, profile={"image": {"min": [9, 3, 8, 8], "opt": [1, 3, 8, 8], "max": [8, 3, 8, 8]}})
    with pytest.raises(BuildError, match=r"refuses the shapes .* build\.json"):
        trt_build.build(folder)


def test_another_file_than_the_plan_was_written_for_is_refused(folder: Path, install: Install) -> None:
    install("11.4.0")
    (folder / "model.onnx").write_bytes(ONNX + b" that was cut short")
    with pytest.raises(BuildError, match=r"model\.onnx is not the file that build\.json was written for"):
        trt_build.build(folder)


def test_an_old_version_is_refused(folder: Path, install: Install) -> None:
    install("8.6.1")
    with pytest.raises(BuildError, match=r"TensorRT 8\.6\.1; 10\.0 or newer"):
        trt_build.build(folder)
