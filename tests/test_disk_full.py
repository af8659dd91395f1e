"""A run that fills the disk says so, leaves nothing half-written, and goes on once there is room."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes, too small for the demo's artifacts."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("skipped: only root may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"skipped: no small disk can be mounted here ({mounted.stderr.strip()})")
    yield disk
    subprocess.run(["umount", disk], check=True)


def run(out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["export", "demo", "--data", "demo:24", "--runtime", "none", "--out", str(out), *more]
    return subprocess.run([sys.executable, "-m", "vitc", *words], capture_output=True, text=True, check=False)


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(small: Path) -> None:
    full = run(small / "run", "-q")
    assert full.returncode == 2
    (line,) = full.stderr.splitlines()
    assert line.startswith("vitc: ")
    assert "No space left on device" in line
    assert "--resume" in line
    assert str(small / "run") in line
    assert not list(small.rglob("*.partial"))
    assert not (small / "run" / "record.json").exists()

    subprocess.run(["mount", "-o", "remount,size=32m", small], check=True)
    again = run(small / "run", "--resume")
    assert again.returncode == 0, again.stderr
    assert "decode scored: reused from an earlier run" in again.stderr
    assert (small / "run" / "record.json").is_file()


def test_a_disk_that_is_full_from_the_start_is_left_as_it_was(small: Path) -> None:
    (small / "other").write_bytes(b"x" * (2 * 2**20 - 4096 * 3))
    full = run(small / "run", "-q")
    assert full.returncode == 2
    assert "No space left on device" in full.stderr
    assert [path.name for path in small.iterdir()] == ["other"]
