"""Fewer tokens between a transformer's blocks, training-free."""

from .drop import Drop
from .merge import Merge
from .reduce import Reduce

__all__ = ["Drop", "Merge", "Reduce"]
