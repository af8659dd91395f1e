"""How long recovery lasts: `30` is so many minutes, `800steps:bf16` is what a run of some minutes came to.

`700of800steps:bf16` is one that had planned for 800, and whose time was up after 700.
"""

import re
from dataclasses import dataclass

from ...errors import UserError

FP32, BF16 = "fp32", "bf16"
"""What the student's products are computed in while it learns."""

_WORDS = re.compile(rf"(?:(\d+(?:\.\d+)?)|(?:(\d+)of)?(\d+)steps)(?::({FP32}|{BF16}))?")


@dataclass(frozen=True)
class Duration:
    """Minutes, or steps; and the arithmetic, where that is said."""

    minutes: float | None
    steps: int | None
    precision: str | None
    last: int | None = None
    """The step to end after, where it is not the last of those that rates were planned for."""


def parse(text: str) -> Duration:
    """What a text says; steps alone are computed in fp32, so that any machine of a kind repeats them."""
    found = _WORDS.fullmatch(text.strip())
    if found is None or not float(found[1] or found[3]) or not 0 < int(found[2] or found[3] or 1) <= int(found[3] or 1):
        raise UserError(
            f"recover is {text!r}; it must be minutes above 0, as 30, or steps, as 800steps or 800steps:{BF16}, "
            "or as many of them as 700of800steps"
        )
    if found[1]:
        return Duration(float(found[1]), None, found[4])
    return Duration(None, int(found[3]), found[4] or FP32, int(found[2]) if found[2] else None)
