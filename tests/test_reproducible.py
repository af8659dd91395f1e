"""The same recipe gives the same bytes, whatever the batch and the number of processes that decode."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("demo_run")

WORDS = ["demo", "--data", "demo:48", "--calib-images", "8", "--max-time", "1", "-q"]
COMMAND = [sys.executable, "-m", "vitc", "compress", *WORDS]
"""As in `demo_run`."""


@pytest.mark.parametrize("other", [["--runtime", "none"], ["--batch", "3", "--workers", "0"]], ids=["again", "batch"])
def test_runs_give_the_same_bytes(demo_run: Path, tmp_path: Path, other: list[str]) -> None:
    out = tmp_path / "run"
    subprocess.run([*COMMAND, "--out", str(out), *other], check=True, stdout=subprocess.DEVNULL)
    for name in ("model.pt2", "onnx/model.onnx", "fp32/onnx/model.onnx"):
        assert (out / name).read_bytes() == (demo_run / name).read_bytes(), name


def test_nothing_of_the_machine_is_in_the_artifacts(demo_run: Path) -> None:
    for name in ("model.pt2", "onnx/model.onnx", "fp32/onnx/model.onnx"):
        content = (demo_run / name).read_bytes()
        assert str(demo_run).encode() not in content, name
        assert str(Path.home()).encode() + b"/" not in content, name
        assert b"site-packages" not in content, name
