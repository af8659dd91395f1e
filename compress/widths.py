"""Which layers are rounded, and to how many bits: what holds for all, unless for its type, unless for its name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch.fx import GraphModule, Node

from ..errors import UserError
from .draft import Bits
from .graph import aten, find_sites, is_grouped, layer

TYPES = ("linear", "conv2d", "depthwise")
"""Types of layers, as an override may name them; a depthwise convolution is every grouped one."""

EDGES = 8
"""Bits of the first layer and of the last: they are small, and the first to suffer."""


@dataclass(frozen=True)
class Override:
    """Bits for the layers that a type or a pattern names; what it leaves out (None) stays as it is."""

    pattern: str
    weight_bits: int | None = None
    activation_bits: int | None = None


def widths(
    program: GraphModule, bits: Bits, overrides: Sequence[Override], exclude: Sequence[str], *, grouped: bool
) -> dict[str, Bits]:
    """The widths of every layer that is to be rounded, by name.

    The first and the last layer have 8 bits and grouped convolutions stay float, unless an override names them.
    """
    sites = find_sites(program)
    by_name = {layer(site): site for site in sites}
    refuse_strangers([*exclude, *(one.pattern for one in overrides)], by_name)
    chosen: dict[str, Bits] = {}
    for name, site in by_name.items():
        matching = [one for one in overrides if one.pattern == kind(site)]
        matching += [one for one in overrides if one.pattern not in TYPES and fnmatchcase(name, one.pattern)]
        if any(fnmatchcase(name, pattern) or pattern == kind(site) for pattern in exclude):
            continue
        if is_grouped(site) and not (grouped or matching):
            continue
        own = Bits(EDGES, EDGES) if site in (sites[0], sites[-1]) else bits
        for one in matching:
            own = Bits(one.weight_bits or own.weight, one.activation_bits or own.activation)
        chosen[name] = own
    return chosen


def kind(site: Node) -> str:
    """A layer's type."""
    if site.target is aten.linear.default:
        return "linear"
    return "depthwise" if is_grouped(site) else "conv2d"


def refuse_strangers(patterns: Sequence[str], layers: Mapping[str, Node]) -> None:
    """Refuse a pattern that names nothing: a mistyped layer would be rounded silently."""
    for pattern in patterns:
        if pattern not in TYPES and not any(fnmatchcase(name, pattern) for name in layers):
            some = ", ".join([*TYPES, *list(layers)[:3]])
            raise UserError(f"no layer is called {pattern!r}; allowed: a pattern of layer names, or a type, as {some}")
