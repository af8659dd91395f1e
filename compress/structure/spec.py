"""What a flag may say of pruning: `neurons=0.2`, or several words with commas between them."""

from dataclasses import fields
from typing import Any

from ...errors import UserError
from .prune import Prune

EXAMPLE = "neurons=0.1"


def parse(text: str) -> Prune:
    """The pruning that a text describes; no neurons go where other things are asked for and they are not."""
    known: dict[str, type] = {field.name: type(getattr(Prune, field.name)) for field in fields(Prune)}
    given: dict[str, Any] = {}
    for part in text.split(","):
        word, equals, value = (piece.strip() for piece in part.partition("="))
        if word not in known:
            raise UserError(f"prune does not know {word!r}; allowed: {', '.join(known)}, as in {EXAMPLE}")
        if not equals or word in given:
            raise UserError(f"prune: {word} takes one value, as in {EXAMPLE}")
        try:
            given[word] = known[word](value)
        except ValueError:
            wanted = "a whole number" if known[word] is int else "a number"
            raise UserError(f"prune: {word} is {value!r}; it must be {wanted}, as in {EXAMPLE}") from None
    if given.keys() - {"neurons", "multiple"}:
        given.setdefault("neurons", 0.0)
    return Prune(**given)
