"""What a flag may say of pruning: `neurons=0.2`, `macs=0.5`, or several words with commas between them."""

from dataclasses import fields
from typing import Any

from ...errors import UserError
from ..slim import Slim
from .prune import Prune

EXAMPLE = "neurons=0.1"
SHARED = "multiple"
"""The word that goes with all others."""
OF_PRUNE: dict[str, type] = {field.name: type(getattr(Prune, field.name)) for field in fields(Prune)}
KINDS: dict[str, type] = {**OF_PRUNE, "macs": float, "latency": float}


def parse(text: str) -> Prune | Slim:
    """The pruning that a text describes; no neurons go where other things are asked for and they are not."""
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
    words = given.keys() - {SHARED}
    if words <= {"macs", "latency"} and words:
        return Slim(**given)
    if words & {"macs", "latency"}:
        raise UserError(f"prune: macs and latency go with multiple alone, not with {' and '.join(given)}")
    if words - {"neurons"}:
        given.setdefault("neurons", 0.0)
    return Prune(**given)
