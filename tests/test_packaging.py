"""The wheel: the package whole, and nothing else."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

DATA = ("py.typed", "models/demo.safetensors", "reports/page.css", "reports/page.js")
PACKAGE_OF = {"PIL": "pillow", "google": "protobuf"}
"""Where a library's package has another name than its module."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> zipfile.ZipFile:
    """The wheel of a copy of the checkout, so that no earlier build is in it and none is left behind."""
    folder = tmp_path_factory.mktemp("wheel")
    hidden_or_built = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "results", "runs")
    shutil.copytree(checkout, folder / "copy", ignore=hidden_or_built)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(folder / "copy")]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(folder.glob("vitc-*.whl")))


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    """What the wheel says of itself."""
    return message_from_bytes(next(wheel.read(name) for name in wheel.namelist() if name.endswith("/METADATA")))


def test_it_holds_the_package_and_nothing_else(
    wheel: zipfile.ZipFile, checkout: Path, sources: tuple[Path, ...]
) -> None:
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    data = {f"vitc/{name}" for name in DATA if (checkout / name).is_file()}
    assert held == data | {f"vitc/{file.as_posix()}" for file in sources}


def test_it_says_what_it_is(wheel: zipfile.ZipFile, metadata: Message) -> None:
    folder = f"vitc-{metadata['Version']}.dist-info"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert f"{folder}/licenses/LICENSE" in wheel.namelist()
    assert "vitc = vitc.cli:main" in wheel.read(f"{folder}/entry_points.txt").decode()


def test_every_dependency_is_bounded_on_both_sides(metadata: Message) -> None:
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    loose = [line for line in required if not (">=" in line and "<" in line)]
    assert required
    assert not loose, f"bound these in pyproject.toml: {loose}"


def test_every_imported_library_is_declared(metadata: Message, trees: Mapping[Path, ast.Module]) -> None:
    declared = {re.split(r"[^\w.-]", line)[0].lower() for line in metadata.get_all("Requires-Dist", [])}
    imported = {name.split(".")[0] for tree in trees.values() for node in ast.walk(tree) for name in libraries(node)}
    wanted = {PACKAGE_OF.get(name, name.replace("_", "-")) for name in imported - sys.stdlib_module_names}
    assert not wanted - declared, f"add to the dependencies in pyproject.toml: {sorted(wanted - declared)}"


def libraries(node: ast.AST) -> list[str]:
    """The modules that one statement imports by their full names."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(name), level=0):
            return [name]
    return []
