"""Dataclasses to JSON and back by their type hints, so that a record is checked by its own declaration.

1. Writing: dataclass -> object in field order, tuple -> list; floats keep seven digits (as many as float32 has). What
   stands in a plain dict is written as it is. A number that is not finite is never written.
2. Reading is strict: every key of the dataclass, no other, each of the declared type. Whole numbers pass as floats.
   A key whose default is empty (None, "", (), 0) may be left out, and is when it is empty.
3. Hints understood: str, bool, int, float, dataclasses, tuple[X, ...], tuple[X, Y], X | None, dict[str, X], Any.
"""

import json
import math
from dataclasses import Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from ..errors import UserError, VerificationFailed

T = TypeVar("T")
DIGITS = 7
EMPTY = (None, "", (), 0)
_NAMES: dict[Any, str] = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


def encode(value: Any, place: str = "") -> Any:
    """The JSON value of a dataclass; `place` names where it stands, for errors."""
    if is_dataclass(value):
        written = {field.name: getattr(value, field.name) for field in fields(value) if not _left_out(value, field)}
        return {name: encode(item, _at(place, name)) for name, item in written.items()}
    if isinstance(value, tuple):
        return [encode(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float):
        return float(f"{_finite(value, place):.{DIGITS}g}")
    return _plain(value, place)


def parse(text: str) -> Any:
    """The JSON value of a text; duplicate keys, NaN and Infinity are refused like any other mistake."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_parse_float, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise UserError(f"not a whole JSON text ({error}): write it again") from None


def decode(hint: type[T], value: Any, place: str = "") -> T:
    """The dataclass `hint` from a JSON value; an error names the place."""
    known = get_type_hints(hint)
    if not isinstance(value, dict):
        raise _error(place, f"{_short(value)} is not an object with the keys {', '.join(known)}")
    for key in value:
        if key not in known:
            raise _error(place, f"unknown key {_short(key)}; allowed: {', '.join(known)}")
    for key in known:
        if key not in value and getattr(hint, key, key) not in EMPTY:  # a default is an attribute of its class
            raise _error(place, f'key "{key}" is missing')
    return hint(**{key: _decode(of, value[key], _at(place, key)) for key, of in known.items() if key in value})


def _left_out(value: Any, field: Field[Any]) -> bool:
    """An empty value where that is the default."""
    return field.default in EMPTY and getattr(value, field.name) == field.default


def _decode(hint: Any, value: Any, place: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin is UnionType:
        (inner,) = (arg for arg in get_args(hint) if arg is not NoneType)
        return None if value is None else _decode(inner, value, place)
    if origin is tuple:
        return _decode_tuple(get_args(hint), value, place)
    if origin is dict:
        if not isinstance(value, dict):
            raise _error(place, f"{_short(value)} is not an object")
        return {key: _decode(get_args(hint)[1], item, _at(place, key)) for key, item in value.items()}
    return (
        decode(hint, value, place)
        if isinstance(hint, type) and is_dataclass(hint)
        else _decode_scalar(hint, value, place)
    )


def _decode_tuple(hints: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _error(place, f"{_short(value)} is not a list")
    if hints[-1] is Ellipsis:
        hints = hints[:1] * len(value)
    if len(value) != len(hints):
        raise _error(place, f"{len(value)} items where {len(hints)} belong")
    return tuple(_decode(hint, value[index], f"{place}[{index}]") for index, hint in enumerate(hints))


def _decode_scalar(hint: Any, value: Any, place: str) -> Any:
    """Booleans are whole numbers to Python, not to a record."""
    if hint is float and type(value) is int and abs(value) < 2**53:
        return float(value)
    if type(value) is not hint:
        raise _error(place, f"{_short(value)} is not {_NAMES[hint]}")
    return value


def _plain(value: Any, place: str) -> Any:
    """What a dict holds, as it is, once it is known that JSON can hold it."""
    if isinstance(value, dict):
        return {str(key): _plain(item, _at(place, str(key))) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    return _finite(value, place) if isinstance(value, float) else value


def _finite(value: float, place: str) -> float:
    if not math.isfinite(value):
        raise VerificationFailed(f"{place}: {value} is not a number that a record may hold")
    return value


def _parse_float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _refuse(text: str) -> float:
    raise ValueError(f"{text[:40]} is not a number")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _at(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _error(place: str, what: str) -> UserError:
    return UserError(f"{place}: {what}" if place else what)


def _short(value: Any) -> str:
    """A value in one line, however long it is."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
