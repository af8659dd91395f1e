"""What an export leaves: a file or folder, named, weighed and hashed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Artifact:
    """One deployable file (or folder, for formats that are one)."""

    name: str
    """`<precision>/<target>`, with what was taken away in front: `merge-int8/onnx`."""
    format: str
    precision: str
    path: Path
    bytes: int
    sha256: str
    note: str = ""
    """What is to be known of it: that it is yet to be built elsewhere, for one."""


def artifact(precision: str, target: str, path: Path) -> Artifact:
    """The artifact at `path`, as it lies on disk now."""
    files = _files(path)
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(path)).encode() if path.is_dir() else b"")
        digest.update(file.read_bytes())
    size = sum(file.stat().st_size for file in files)
    return Artifact(f"{precision}/{target}", target, precision, path, size, digest.hexdigest())


def _files(path: Path) -> list[Path]:
    """The files that an artifact is made of: all in a folder; OpenVINO's .xml has its weights in a .bin beside it."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
