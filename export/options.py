"""What a caller may choose about an artifact, whatever its target."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """How an artifact is to be used; a target leaves out what it cannot express, and its preflight says so."""

    batch: int | None = None
    """Images an inference, fixed; None leaves it free where the target can."""
    image_input: bool = False
    """Take images as the device's camera gives them, 0 to 255, with the preprocessing inside (Core ML)."""


DEFAULTS = Options()
