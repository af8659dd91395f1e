"""Techniques that make a backbone narrower or shorter: what is left computes less on any engine, in the same operators.

They train nothing. What goes is what the rest can make up for, and the rest does.
"""

from .prune import Prune
from .spec import parse

__all__ = ["Prune", "parse"]
