"""Techniques that make a backbone narrower or shorter by what the rest can make up for; nothing is trained."""

from .prune import Prune
from .spec import parse

__all__ = ["Prune", "parse"]
