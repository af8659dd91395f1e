"""vitc: compress trained vision transformers, export them, and measure what it costs where they will run.

The names below are imported when they are first used: a process that only serves an artifact loads no torch.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .comparing import compare
    from .loading import load
    from .pipeline import compress, export
    from .profiling import profile
    from .recipe import Recipe

__all__ = ["Recipe", "compare", "compress", "export", "load", "profile"]

_HOME = {
    "Recipe": "recipe",
    "compare": "comparing",
    "compress": "pipeline",
    "export": "pipeline",
    "load": "loading",
    "profile": "profiling",
}


class _Api(ModuleType):
    """`compress` and `export` are folders as well: importing those must not hide the functions of their names."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOME or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Api


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"vitc has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
