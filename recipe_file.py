"""A recipe from a TOML file, flags, or both: every word is known and of its type, or refused in one line."""

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .errors import UserError
from .recipe import Recipe

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def resolve(file: Path | None, flags: Mapping[str, Any], defaults: Mapping[str, Any] = _NOTHING) -> Recipe:
    """The recipe of a TOML file with the flags that were given laid over it; `defaults` where neither says anything."""
    given = {key: value for key, value in flags.items() if value is not None}
    values = {**defaults, **(_read(file) if file else {}), **given}
    typed: dict[str, Any] = {key: _typed(key, value) for key, value in values.items()}
    return Recipe(**typed)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as failure:
        raise UserError(f"cannot read the recipe {file}: {failure.strerror}; give a TOML file") from failure
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise UserError(f"recipe {file} is not TOML: {failure}; mend that place") from failure


def _typed(key: str, value: object) -> object:
    """The value as the field wants it, or one line on what the field takes."""
    fields = {f.name: f.type for f in dataclasses.fields(Recipe)}
    if key not in fields:
        raise UserError(f"recipe does not know {key!r}; allowed: {', '.join(fields)}")
    kind, wanted, fits = _KINDS[str(fields[key])]
    if not fits(value):
        raise UserError(f"recipe: {key} is {value!r}; it must be {wanted}")
    return kind(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _are_words(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(word, str) for word in value)


_KINDS: dict[str, tuple[Callable[[Any], object], str, Callable[[object], bool]]] = {
    str(str): (str, "text, and not empty", _is_text),
    str(str | None): (str, "text, and not empty", _is_text),
    str(int): (int, "a whole number", _is_int),
    str(int | None): (int, "a whole number", _is_int),
    str(bool): (bool, "true or false", _is_bool),
    str(bool | None): (bool, "true or false", _is_bool),
    str(tuple[str, ...]): (tuple, "a list of words", _are_words),
    str(Mapping[str, Any]): (dict, "a table", lambda value: isinstance(value, Mapping)),
}
