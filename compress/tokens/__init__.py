"""Fewer tokens between a transformer's blocks: the ways to take them away, by the words that ask for them."""

from collections.abc import Mapping

from .drop import Drop
from .merge import Merge

REDUCTIONS: Mapping[str, type[Merge] | type[Drop]] = {"merge": Merge, "drop": Drop}
"""Both without training."""
