"""What a flag may say of pruning: `neurons=0.2`, `macs=0.5`, or several words with commas between them."""

from dataclasses import fields
from typing import Any

from ...errors import UserError
from .prune import Prune
from .slim import Slim

EXAMPLE = "neurons=0.1"
WAYS: tuple[type[Prune] | type[Slim], ...] = (Prune, Slim)
"""Each knows words of its own; one that Prune lacks asks for Slim."""
KINDS: dict[str, type] = {"neurons": float, "macs": float, "latency": float, "multiple": int}


def parse(text: str) -> Prune | Slim:
    """The pruning that a text describes."""
    given: dict[str, Any] = {}
    for part in text.split(","):
        word, equals, value = (piece.strip() for piece in part.partition("="))
        if word not in KINDS:
            raise UserError(f"prune does not know {word!r}; allowed: {', '.join(KINDS)}, as in {EXAMPLE}")
        if not equals or word in given:
            raise UserError(f"prune: {word} takes one value, as in {EXAMPLE}")
        try:
            given[word] = KINDS[word](value)
        except ValueError:
            wanted = "a whole number" if KINDS[word] is int else "a number"
            raise UserError(f"prune: {word} is {value!r}; it must be {wanted}, as in {EXAMPLE}") from None
    fitting = [way for way in WAYS if given.keys() <= {field.name for field in fields(way)}]
    if not fitting:
        raise UserError(f"prune takes one of neurons, macs and latency, not {' and '.join(given)}")
    return fitting[0](**given)
