"""Names of layers: what a weight is called in a program, and what the module that it belongs to is called."""

SUFFIXES = ("_half", "_int4", "_codes", "_scale", "_flat", ".weight")
"""What rewriting a weight adds to its name, and the weight's own name; the last added stands first."""


def layer_of(weight: str) -> str:
    """The layer that a weight, or what was made of it, belongs to: `blocks.0.attn.qkv`."""
    for suffix in SUFFIXES:
        weight = weight.removesuffix(suffix)
    return weight
