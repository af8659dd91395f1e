"""Lets no .pt2 through to torch but those that vitc could have written.

`torch.export` reads much more than tensors: pickles, compiled libraries, structures that import modules, expressions
that sympy evaluates, operators named by any attribute of torch, and names that become Python source. What vitc saves
needs none of that, so a file may hold only known entries, and every string in them must match a narrow grammar. The
entries are read by torch's own reader, so this and torch cannot see two different files.
"""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

from torch.export.pt2_archive import PT2ArchiveReader
from torch.utils._pytree import tree_structure, treespec_dumps

FACTS = "vitc.json"
"""The extra file with what travels beside the program."""

_WEIGHTS, _CONSTANTS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"
_MODEL, _SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
_REQUIRED = {_WEIGHTS, _CONSTANTS, _MODEL, _SAMPLES, f"extra/{FACTS}"}
_ALLOWED = re.compile(
    r"data/weights/weight_\d+|data/constants/tensor_\d+|archive_format|archive_version|byteorder"
    r"|\.data/version|\.data/serialization_id"
)

_NAME = r"\w*"
_PATH = r"[\w.]*"
_OPERATOR = (
    r"torch\.ops\.aten\.(?!save\b|from_file\b)\w+\.\w+"
    r"|torch\.ops\.vitc\.\w+\.\w+"
    r"|torch\.ops\.higher_order\.wrap_with_(set_grad_enabled|autocast)"
    r"|torch\.sym_\w+|math\.(ceil|floor|trunc)"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|neg|getitem|eq|ne|lt|le|gt|ge|and_|or_|not_)"
)
_EXPRESSION = (
    r"(\b(Symbol|Integer|Rational|Add|Mul|Max|Min|FloorDiv|CeilDiv|CleanDiv|Mod|PythonMod"
    r"|Equality|Unequality|LessThan|GreaterThan|StrictLessThan|StrictGreaterThan|And|Or|Not"
    r"|positive|nonnegative|integer|True|true|false)\b|'[su]\d+'|\d+|[-(),= ])*"
)
_GRAMMAR = {
    "name": _NAME,
    "as_name": _NAME,
    "forward_arg_names": _NAME,
    "target": _OPERATOR,
    "as_operator": _OPERATOR,
    "expr_str": _EXPRESSION,
    "as_string": r"[\w .,>-]*",
    "torch_version": r"[\w.+]*",
    "in_spec": re.escape(treespec_dumps(tree_structure(((0,), {})))),
    "out_spec": re.escape(treespec_dumps(tree_structure(0))),
}
"""What a string may look like under each key of the model's JSON; under any other key it is a dotted path."""

_EMPTY = ("metadata", "guards_code", "treespec_namedtuple_fields", "custom_obj_values")
"""Keys of the model's JSON under which vitc saves nothing."""


class Foreign(ValueError):
    """The file holds something that vitc never writes; the message says what."""


def check(content: bytes) -> None:
    """Raise `Foreign` unless vitc could have written this archive."""
    try:
        reader = PT2ArchiveReader(io.BytesIO(content))
        names = reader.get_file_names()
    except (AssertionError, RuntimeError, ValueError) as failure:
        raise Foreign("it is no .pt2 archive, or damaged") from failure
    if missing := _REQUIRED - set(names):
        raise Foreign(f"it has no {min(missing)}")
    if len(set(names)) != len(names):
        raise Foreign("it has an entry twice")
    for name in names:
        if name not in _REQUIRED and not _ALLOWED.fullmatch(name):
            raise Foreign(f"it has the entry {name!r}")
    if reader.read_bytes(_SAMPLES):
        raise Foreign("it has sample inputs")
    for config, prefix in ((_WEIGHTS, "weight"), (_CONSTANTS, "tensor")):
        _check_payloads(_read(reader, config), prefix)
    _check_strings(_read(reader, _MODEL))


def _read(reader: PT2ArchiveReader, name: str) -> Any:
    try:
        return json.loads(reader.read_bytes(name))
    except ValueError as failure:
        raise Foreign(f"its {name} is no JSON") from failure


def _check_payloads(config: Any, prefix: str) -> None:
    """Only raw tensors, never a pickle."""
    payloads = config.get("config") if isinstance(config, dict) else None
    if not isinstance(payloads, dict):
        raise Foreign("its tensors are not listed")
    for name, payload in payloads.items():
        if not isinstance(payload, dict) or payload.get("use_pickle") is not False:
            raise Foreign(f"its tensor {name!r} is a pickle")
        if not re.fullmatch(rf"{prefix}_\d+", str(payload.get("path_name"))):
            raise Foreign(f"its tensor {name!r} lies in a place of its own")


def _check_strings(model: Any) -> None:
    for key, text in _strings(model, ""):
        if not re.fullmatch(_GRAMMAR.get(key, _PATH), text):
            raise Foreign(f"its program has {key or 'key'} {text[:60]!r}")


def _strings(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Every string of a JSON value with the key that it lies under, and every key under no key."""
    if key in _EMPTY and value:
        raise Foreign(f"its program has {key}")
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, key)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield "", name
            yield from _strings(item, name)
