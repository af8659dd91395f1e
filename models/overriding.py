"""Preprocessing given by hand: from a recipe, a module's attribute, or a file's metadata, checked field by field."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from ..errors import UserError
from .backbone import CROP_MODES, INTERPOLATIONS, Backbone, Preprocessing


def overridden(backbone: Backbone, overrides: Mapping[str, object]) -> Backbone:
    """The backbone with fields of its preprocessing replaced; a new input size must be one that the module takes."""
    preprocessing = apply(backbone.preprocessing, overrides)
    changed = replace(backbone, preprocessing=preprocessing)
    if preprocessing.input_size != backbone.preprocessing.input_size:
        try:
            with torch.no_grad():
                backbone.module(torch.zeros(1, *preprocessing.input_size))
        except (AssertionError, RuntimeError, ValueError) as failure:
            sizes = [_shape(p.input_size) for p in (preprocessing, backbone.preprocessing)]
            raise UserError(
                f"{backbone.name} does not take images of {sizes[0]}: leave input_size at {sizes[1]}, or "
                "choose a model made for the other size"
            ) from failure
    return changed


def apply(preprocessing: Preprocessing, overrides: Mapping[str, object]) -> Preprocessing:
    """`preprocessing` with the given fields replaced; what is unknown or out of range is refused."""
    fields: dict[str, Any] = {}
    for name, value in overrides.items():
        if name not in FIELDS:
            raise UserError(f"unknown preprocessing key {name!r}: allowed are {', '.join(FIELDS)}")
        allowed, parse = FIELDS[name]
        try:
            fields[name] = parse(value)
        except (TypeError, ValueError) as failure:
            raise UserError(f"preprocessing {name} = {value!r}: give {allowed}") from failure
    changed = replace(preprocessing, **fields)
    channels = changed.input_size[0]
    for name in ("mean", "std"):
        if len(getattr(changed, name)) not in (1, channels):
            raise UserError(f"preprocessing {name} = {getattr(changed, name)!r}: give 1 or {channels} numbers")
    return changed


def _shape(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))


def _numbers(value: object, lowest: float) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise TypeError
    return tuple(_number(item, lowest, float("inf")) for item in value)


def _number(value: object, lowest: float, highest: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if not lowest < value <= highest:
        raise ValueError
    return float(value)


def _size(value: object) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or len(value) != 3 or any(type(item) is not int for item in value):
        raise TypeError
    if min(value) < 1:
        raise ValueError
    return tuple(value)


def _one_of(choices: tuple[str, ...]) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in choices:
            raise ValueError
        return str(value)

    return parse


FIELDS: dict[str, tuple[str, Callable[[object], object]]] = {
    "input_size": ("[channels, height, width]", _size),
    "crop_pct": ("a number above 0 and at most 2", lambda value: _number(value, 0, 2)),
    "crop_mode": (" | ".join(CROP_MODES), _one_of(CROP_MODES)),
    "interpolation": (" | ".join(INTERPOLATIONS), _one_of(INTERPOLATIONS)),
    "mean": ("one finite number a channel", lambda value: _numbers(value, float("-inf"))),
    "std": ("one number above 0 a channel", lambda value: _numbers(value, 0)),
}
"""Every field of Preprocessing: what is allowed, in words, and the function that lets nothing else through."""
