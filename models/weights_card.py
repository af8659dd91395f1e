"""What a weights file says of itself in its safetensors metadata: the timm model, its arguments, its preprocessing."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError

RESERVED = frozenset(
    ["pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "model_name"]
)
"""Arguments of `timm.create_model` that make it read other files: never taken from a weights file."""


@dataclass(frozen=True)
class Card:
    """The metadata, parsed; empty where the file is silent."""

    timm: str | None
    """The name that the file was trained under."""
    kwargs: dict[str, Any]
    """Arguments for `timm.create_model`."""
    classes: tuple[str, ...]
    preprocessing: dict[str, object]
    """Fields of Preprocessing that override timm's."""


def parse(metadata: Mapping[str, str], path: Path) -> Card:
    """Parse the metadata of `path`; unknown keys are left alone, malformed known ones are refused."""
    read: dict[str, Any] = {}
    for key, (form, parser) in _KEYS.items():
        try:
            if key in metadata:
                read[key] = parser(metadata[key])
        except (ValueError, TypeError) as failure:
            raise UserError(f"{path}: its metadata key {key!r} should be {form}") from failure
    classes = tuple(read.get("classes", ()))
    kwargs = read.get("kwargs", {})
    if counted := read.get("num_classes", len(classes)):
        kwargs.setdefault("num_classes", counted)
    fields = ("input_size", "mean", "std", "crop_pct", "crop_mode", "interpolation")
    return Card(metadata.get("timm"), kwargs, classes, {key: read[key] for key in fields if key in read})


def _arguments(text: str) -> dict[str, Any]:
    arguments = json.loads(text)
    if not isinstance(arguments, dict) or RESERVED & set(arguments):
        raise ValueError(text)
    return arguments


def _listed(item: Callable[[Any], object]) -> Callable[[str], list[object]]:
    """A parser of "a,b,c" or a JSON list."""

    def split(text: str) -> list[object]:
        items = json.loads(text) if text.lstrip().startswith("[") else text.split(",")
        return [item(entry) for entry in items]

    return split


_KEYS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "kwargs": ("a JSON object of model arguments", _arguments),
    "num_classes": ("a number", int),
    "classes": ("names, as a JSON list or separated by commas", _listed(lambda name: str(name).strip())),
    "input_size": ("three numbers: channels,height,width", _listed(int)),
    "mean": ("numbers separated by commas", _listed(float)),
    "std": ("numbers separated by commas", _listed(float)),
    "crop_pct": ("a number", float),
    "crop_mode": ("a name", str),
    "interpolation": ("a name", str),
}
"""Every key that is understood: its form, in words, and its parser."""
