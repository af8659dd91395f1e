"""Where backbones come from. Nothing is imported before `load` needs it, so that the command line answers at once."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backbone import Backbone

SOURCES = (
    (r"demo", "demo"),
    (r".+\.py(:.*)?", "python_file"),
    (r".+\.pt2", "saved"),
    (r".*", "timm_models"),
)
"""How a MODEL is written, and the module beside this file whose `load(spec, weights)` answers for it; first match."""

_NONE: Mapping[str, object] = MappingProxyType({})


def names(pattern: str = "*") -> list[str]:
    """The names of built-in models that match `pattern`, a name with * and ?."""
    from .timm_ready import timm

    return [name for name in ("demo", *timm.list_models()) if fnmatchcase(name, pattern)]


def load(spec: str, weights: Path | None = None, overrides: Mapping[str, object] = _NONE) -> "Backbone":
    """The backbone that `spec` names, in eval mode.

    `weights` is a file of tensors, or the word `random` for weights drawn from seed 0; without it a source uses what it
    has. `overrides` replace fields of the backbone's own preprocessing.
    """
    from . import overriding

    source = next(module for pattern, module in SOURCES if re.fullmatch(pattern, spec))
    backbone: Backbone = import_module(f".{source}", __name__).load(spec, weights)
    return overriding.overridden(backbone, overrides)
