"""build.py, the text of export/trt_build.py, as a script of its own: what it imports, and what it asks of TensorRT."""

import ast
import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from vitc.export import trt_build
from vitc.export.trt_build import BuildError, Device

PROFILE = {"image": {"min": [1, 3, 8, 8], "opt": [1, 3, 8, 8], "max": [8, 3, 8, 8]}}
ENGINE = "model.trt11.4-orin-sm87.engine"


class Driver:
    """libcuda of a Jetson Orin, as far as it is asked."""

    def cuInit(self, _: int) -> int:  # noqa: N802  (the driver's name)
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        device._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, name: Any, *_: Any) -> int:  # noqa: N802
        name.value = b"Orin"
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, _: Any) -> int:  # noqa: N802
        value._obj.value = {75: 8, 76: 7}[attribute]
        return 0


def test_without_the_library_or_a_gpu_the_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Any:
        raise OSError("libcuda.so.1: cannot open shared object file")

    class Idle(Driver):
        def cuInit(self, _: int) -> int:  # noqa: N802
            return 100

    with monkeypatch.context() as bare:
        bare.setattr(importlib.util, "find_spec", lambda _: None)
        assert "pip install tensorrt" in str(trt_build.missing())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: ModuleSpec(name, None))
    for driver, reason in ((absent, "there is no NVIDIA driver"), (Idle, "finds no GPU")):
        monkeypatch.setattr(trt_build, "load_driver", driver)
        assert reason in str(trt_build.missing())
    with pytest.raises(BuildError, match="answers 100 when asked for its GPU"):
        trt_build.first_device()
    monkeypatch.setattr(trt_build, "load_driver", Driver)
    assert trt_build.missing() is None
    assert trt_build.first_device() == Device("Orin", (8, 7))


@pytest.mark.parametrize(
    ("device", "name"),
    [
        (Device("Orin", (8, 7)), ENGINE),
        (Device("NVIDIA GeForce RTX 4090", (8, 9)), "model.trt11.4-nvidia-geforce-rtx-4090-sm89.engine"),
    ],
)
def test_an_engine_is_named_after_its_version_and_device(device: Device, name: str) -> None:
    assert trt_build.engine_name("11.4.0.106", device) == name


def test_trtexec_gets_the_same_settings() -> None:
    plan = {"onnx": "model.onnx", "profile": PROFILE, "optimization_level": 4, "workspace_mib": 512}
    words = trt_build.trtexec(plan).split()
    assert words[0] == "trtexec"
    assert {"--onnx=model.onnx", "--stronglyTyped", "--builderOptimizationLevel=4"} <= set(words)
    assert {"--minShapes=image:1x3x8x8", "--maxShapes=image:8x3x8x8", "--memPoolSize=workspace:512"} <= set(words)
    assert not [word for word in words if word in {"--int8", "--fp16", "--best"}], "TensorRT 11 refuses these"


def test_the_script_stands_alone(tmp_path: Path) -> None:
    """It runs without vitc, on a Python as old as JetPack's, and fails in one line where there is no TensorRT."""
    text = Path(trt_build.__file__).read_text("utf-8")
    tree = ast.parse(text, feature_version=(3, 10))
    imported = {
        alias.name.partition(".")[0]
        for statement in ast.walk(tree)
        if isinstance(statement, ast.Import)
        for alias in statement.names
    } | {
        (statement.module or "").partition(".")[0]
        for statement in ast.walk(tree)
        if isinstance(statement, ast.ImportFrom)
    }
    assert imported <= {*sys.stdlib_module_names, "tensorrt"}
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("tensorrt is installed: the script would build")
    (tmp_path / "build.py").write_text(text, "utf-8")
    ran = subprocess.run([sys.executable, "-I", tmp_path / "build.py"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.strip() == f"build.py: {trt_build.missing()}"


ROOTS = {
    "trt",
    "builder",
    "config",
    "network",
    "parser",
    "profile",
    "error",
    "inspector",
    "engine",
    "context",
    "_runtime",
}
"""What holds objects of TensorRT in the two files that use it, as variables and as attributes."""


def names_used(path: Path) -> set[str]:
    """Every name that a file asks of TensorRT: attributes of its objects, and methods that it overrides."""
    found: set[str] = set()
    for statement in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(statement, ast.Attribute):
            words = chain(statement)
            start = next((place for place, word in enumerate(words) if word in ROOTS), len(words))
            found.update(takewhile(lambda word: not word.startswith("__"), words[start + 1 :]))
        elif isinstance(statement, ast.ClassDef) and any(chain(base)[:1] == ["trt"] for base in statement.bases):
            found.update(part.name for part in statement.body if isinstance(part, ast.FunctionDef))
    return found - {"__init__"}


def chain(expression: ast.AST) -> list[str]:
    """The names along `a.b(...).c`."""
    words: list[str] = []
    while not isinstance(expression, ast.Name):
        if isinstance(expression, ast.Attribute):
            words.append(expression.attr)
            expression = expression.value
        elif isinstance(expression, ast.Call):
            expression = expression.func
        else:
            return words[::-1]
    return [expression.id, *words[::-1]]


def test_every_name_asked_of_tensorrt_is_in_its_bindings(checkout: Path) -> None:
    """Of version 11: in the symbols of the wheel tensorrt_cu13_bindings, which cannot be imported on its own."""
    bindings = importlib.util.find_spec("tensorrt_bindings")
    if bindings is None or not bindings.submodule_search_locations:
        pytest.skip("bindings not installed: pip install --no-deps tensorrt_cu13_bindings")
    (extension,) = Path(bindings.submodule_search_locations[0]).glob("tensorrt*.so")
    symbols = extension.read_bytes()
    used = {name for file in ("export/trt_build.py", "runtimes/trt.py") for name in names_used(checkout / file)}
    assert {"build_serialized_network", "STRONGLY_TYPED", "phase_start", "execute_async_v3", "JSON"} <= used
    assert len(used) >= 50
    assert sorted(name for name in used if f"{name}\0".encode() not in symbols) == []
    for removed in ("int8_calibrator", "set_calibration_profile", "platform_has_fast_int8", "max_workspace_size"):
        assert f"{removed}\0".encode() not in symbols, "a name that version 11 removed would be found out"
