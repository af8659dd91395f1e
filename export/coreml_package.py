"""An `.mlpackage` folder with the same bytes for the same program.

coremltools names the parts of a package by random identifiers, notes the day, leaves a map of debug handles beside the
model, and stores its tables in whatever order they have in memory. Here the identifiers are derived from what they
identify, and the tables are sorted.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from ..atomic import replacing

AUTHOR = "com.apple.CoreML"
"""Whose parts they are, and their folder: Core ML looks there."""
WEIGHTS = "weights"
MODEL = "model.mlmodel"


def save(spec: Any, weights: Path, notes: Mapping[str, str], path: Path) -> None:
    """Write the package: the model as coremltools specifies it, our notes for its own, and its folder of weights."""
    metadata = spec.description.metadata
    metadata.userDefined.clear()
    metadata.userDefined.update(notes)
    model = spec.SerializeToString(deterministic=True)
    with replacing(path) as partial:
        data = partial / "Data" / AUTHOR
        data.mkdir(parents=True)
        (data / MODEL).write_bytes(model)
        shutil.copytree(weights, data / WEIGHTS, copy_function=shutil.copyfile)
        (partial / "Manifest.json").write_text(_manifest(model), encoding="utf-8")


def _manifest(model: bytes) -> str:
    parts = {MODEL: "CoreML Model Specification", WEIGHTS: "CoreML Model Weights"}
    identifiers = {name: str(UUID(bytes=hashlib.sha256(name.encode() + model).digest()[:16])) for name in parts}
    entries = {
        identifiers[name]: {"author": AUTHOR, "description": text, "name": name, "path": f"{AUTHOR}/{name}"}
        for name, text in parts.items()
    }
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": entries,
        "rootModelIdentifier": identifiers[MODEL],
    }
    return json.dumps(manifest, indent=4, sort_keys=True) + "\n"
