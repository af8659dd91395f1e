"""A run that was ended at any moment goes on where it stopped, and ends as if nothing had happened."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("demo_run")

WORDS = ["compress", "demo", "--data", "demo:48", "--calib-images", "8", "--max-time", "1"]
"""As in `demo_run`."""

INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin deaf to it
runpy.run_module("vitc", run_name="__main__")
"""


def test_a_run_that_is_killed_three_times_ends_byte_identical(checkout: Path, demo_run: Path) -> None:
    script = [sys.executable, str(checkout / "scripts/kill_resume.py")]
    done = subprocess.run(
        [*script, "--kills", "3", "--runs", "1", "--seed", "1", "--against", str(demo_run)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert sum(": killed" in line for line in lines) == 3, done.stdout
    assert "1 of 1 runs are byte-identical after 3 kills" in lines


def test_an_interrupted_run_says_so_in_one_line_and_can_be_resumed(demo_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-c", INTERRUPTIBLE, *WORDS, "--out", str(out), "--runtime", "none"]
    with subprocess.Popen([*command, "-q"], stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (out / ".stages" / "quantize.json").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130, said
    assert len(said.splitlines()) == 1, said
    assert said.startswith("vitc: interrupted")
    assert not (out / "record.json").exists()

    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "quantize: reused from an earlier run" in again.stderr
    for name in ("model.pt2", "onnx/model.onnx", "fp32/onnx/model.onnx"):
        assert (out / name).read_bytes() == (demo_run / name).read_bytes(), name
