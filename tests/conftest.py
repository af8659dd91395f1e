"""What all tests may ask for: the checkout, its source files, the reference data."""

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

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
    subprocess.run([sys.executable, "-m", "vitc", "compress", *words], check=True, stdout=subprocess.DEVNULL)
    return out
