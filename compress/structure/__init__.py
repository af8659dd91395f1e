"""Techniques that make a backbone narrower or shorter: what is left computes less on any engine, in the same operators.

They train nothing. `Prune` takes what the rest can make up for, and has it do so; `Slim` takes whole channels and heads
until a share of the cost is left, of what matters least.
"""

from .prune import Prune
from .slim import Slim
from .spec import parse

__all__ = ["Prune", "Slim", "parse"]
