"""Channels, heads and neurons go from whole modules, until a share of the cost is left."""

from .slim import Slim

__all__ = ["Slim"]
