"""What all tests may ask for: the checkout, its source files, the reference data."""

import ast
import gc
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

# Before torch is imported: test processes run beside each other, so each keeps to one core.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root folder, which is the package."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def sources(checkout: Path) -> tuple[Path, ...]:
    """Every source file of the packages that pyproject.toml lists, relative to the checkout."""
    packages = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    folders = [checkout.joinpath(*package.split(".")[1:]) for package in packages]
    return tuple(file.relative_to(checkout) for folder in folders for file in sorted(folder.glob("*.py")))


@pytest.fixture(scope="session")
def tests(checkout: Path) -> tuple[Path, ...]:
    """Every test file, relative to the checkout."""
    return tuple(file.relative_to(checkout) for file in sorted((checkout / "tests").rglob("*.py")))


@pytest.fixture(scope="session")
def trees(checkout: Path, sources: tuple[Path, ...]) -> Mapping[Path, ast.Module]:
    """The source files, parsed."""
    return {file: ast.parse((checkout / file).read_text("utf-8")) for file in sources}


@pytest.fixture(scope="session")
def reference(checkout: Path) -> Path:
    """Real weights and photographs: the folder VITC_REFERENCE, or shared/reference beside the checkout."""
    folder = Path(os.environ.get("VITC_REFERENCE") or checkout.parent / "shared" / "reference")
    if not folder.is_dir():
        pytest.skip("skipped: reference data not found")
    return folder


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run on the demo that nothing disturbed; look at it, but do not change it.

    Tests that ask for it share a process, hence one run: mark their files with `xdist_group("demo_run")`.
    """
    out = tmp_path_factory.mktemp("demo") / "run"
    words = ["demo", "--data", "demo:48", "--calib-images", "8", "--out", str(out), "-q"]
    quick = ["--threads", "1", "--max-time", "1", "--meter", "none"]  # one: other tests keep the other cores busy
    subprocess.run([sys.executable, "-m", "vitc", "compress", *words, *quick], check=True, stdout=subprocess.DEVNULL)
    return out


@pytest.fixture(scope="session")
def mil_package(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`(build, shape, dtype="fp32", target="iOS17")`: saves the MIL program that `build` makes of one input."""
    coremltools = pytest.importorskip("coremltools")
    mb = pytest.importorskip("coremltools.converters.mil").Builder
    types = pytest.importorskip("coremltools.converters.mil.mil").types
    gc.freeze()  # coremltools collects garbage at every conversion: 0.2 s, were it to look through all of torch

    def save(
        build: Callable[..., Any], shape: tuple[int, ...], dtype: str = "fp32", target: str = "iOS17", **words: Any
    ) -> Path:
        system = getattr(coremltools.target, target)
        spec = mb.TensorSpec(shape, dtype=types.string_to_builtin(dtype))
        model = coremltools.convert(
            mb.program(input_specs=[spec], opset_version=system)(build),
            convert_to="mlprogram",
            minimum_deployment_target=system,
            compute_precision=coremltools.precision.FLOAT32,
            pass_pipeline=coremltools.PassPipeline.EMPTY,
            skip_model_load=True,
            **words,
        )
        path = tmp_path_factory.mktemp("mil") / "model.mlpackage"
        model.save(str(path))
        return path

    return save


@pytest.fixture(scope="session")
def interpret(mil_package: Callable[..., Path]) -> Callable[..., Any]:
    """`(build, x, target="iOS17")`: what the interpreter makes of the saved program for the tensor `x`."""
    from vitc.runtimes import mil_package as reader
    from vitc.runtimes.mil_plan import Plan

    def run(build: Callable[..., Any], x: Any, target: str = "iOS17") -> Any:
        kinds = {"torch.float32": "fp32", "torch.float16": "fp16", "torch.int32": "int32"}
        path = mil_package(build, tuple(x.shape), kinds[str(x.dtype)], target)
        package = reader.open_package(path)
        return Plan(reader.main_function(package), package.output).run(x)

    return run


@pytest.fixture(scope="session")
def decomposed() -> Callable[..., Any]:
    """`(function, size, batch)`: a function of images as an exported program in core operators."""
    from torch import Tensor, nn

    from vitc.models.program import export_program

    class Calling(nn.Module):
        """A function as a module."""

        def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.function = function

        def forward(self, images: Tensor) -> Tensor:
            return self.function(images)

    def export(function: Callable[[Tensor], Tensor], size: tuple[int, ...], batch: int) -> Any:
        return export_program(Calling(function), size, batch).run_decompositions({})

    return export


@pytest.fixture(scope="session")
def small_vit() -> Callable[..., Any]:
    """`(name=..., **words)`: a small vision transformer of timm's, 16 patches and 4 blocks, with random weights."""
    import torch

    from vitc.models.backbone import Backbone, Preprocessing
    from vitc.models.timm_ready import timm

    def build(name: str = "vit_tiny_patch16_224", **words: Any) -> Backbone:
        sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2, "num_classes": 5}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = timm.create_model(name, **(sizes | words)).eval()
            for parameter in module.parameters():
                parameter.data.add_(torch.randn_like(parameter) * 0.2)  # fresh ones look alike to attention
        return Backbone(name, module, Preprocessing(input_size=(3, 32, 32)), 5, (), "")

    return build


@pytest.fixture
def record() -> Any:
    """A record with a float and an int8 artifact, nothing of it measured."""
    from dataclasses import replace

    from vitc.reports.record import (
        Artifact,
        Audit,
        Choice,
        Data,
        Energy,
        Fallback,
        Latency,
        Machine,
        Measurement,
        Model,
        Parity,
        Record,
        Speedup,
        Stage,
    )

    nothing = Measurement("fp32/onnx", "onnxruntime", 1, 1, None, None, None, Energy(None), None, None, 0)
    parity = Parity(0.01, 0.9999, 0.984375, 64)
    audit = Audit(85.1, 97.5, (Fallback("head", "too | small"),), {"fp32": 14.9, "int8": 85.1})
    float_one = replace(nothing, latency_ms=Latency(14.2, 15, 16, 14.3, 300), top1=81.46, top5=95.0, images=1300)
    speedup = Speedup("fp32/onnx", 1.8641, (1.838, 1.879))
    latency = Latency(7.616, 8, 9, 7.7, 300)
    int8_one = replace(
        float_one, artifact="int8/onnx", latency_ms=latency, speedup=speedup, top1=81.2, peak_rss_mb=119.6
    )
    return Record(
        vitc="0.1.0",
        command="vitc compress demo",
        seed=0,
        started="2025-01-01",
        recipe={},
        machine=Machine("some cpu", 2, ("avx2",), "Linux", {"torch": "2.10"}),
        model=Model("demo", "ab" * 32, (3, 64, 64)),
        data=Data("demo", "cd" * 32, 1300),
        calibration=None,
        stages=(Stage("quantize", 3.14, None, 5717416, 1258000000, 81.3, 1300, ("2 layers <keep> 8 bits",)),),
        artifacts=(
            Artifact(
                "fp32/onnx",
                "onnx",
                "fp32",
                "fp32/onnx/model.onnx",
                22_880_000,
                "",
                None,
                None,
                "not built here",
            ),
            Artifact("int8/onnx", "onnx", "int8", "onnx/model.onnx", 6_000_000, "", parity, audit),
        ),
        measurements=(float_one, int8_one),
        choices=(Choice("onnx", "int8/onnx", "no other is as fast"),),
    )
