"""Putting quantized operators into a program: what rounds a layer's input, and the layer itself in codes."""

from typing import Any

import torch
from torch._ops import OpOverload
from torch.fx import GraphModule, Node

from .graph import arguments, as_node
from .logarithmic import LOGARITHM, LogGrid
from .ranges import Along, Range, Ranges
from .round_layers import Settled


def round_input(source: Node, readers: list[Node], seen: Range, bits: int, scheme: str) -> None:
    """One `quantize` of a tensor, read in its place by `readers`."""
    _place(source, readers, torch.ops.vitc.quantize.default, (source, seen.low, seen.high, bits, scheme))


def round_along(source: Node, readers: list[Node], ranges: Ranges, along: Along, scheme: str) -> None:
    """One `quantize_axis` of a tensor, read in its place by `readers`."""
    given = (source, list(ranges[0]), list(ranges[1]), along.axis, along.bits, scheme)
    _place(source, readers, torch.ops.vitc.quantize_axis.default, given)


def round_softmax(source: Node, readers: list[Node], grid: LogGrid) -> None:
    """One `quantize_log` of a tensor, read in its place by `readers`."""
    given = (source, grid.kind, grid.step, grid.scale, grid.shift, grid.bits)
    _place(source, readers, LOGARITHM, given)


def put(program: GraphModule, settled: Settled) -> None:
    """Replace a site by its quantized operator."""
    site = settled.site
    owner, _, leaf = str(as_node(site.args[1]).target).rpartition(".")
    module = program.get_submodule(owner)
    stored: list[Node | None] = []
    parts = {"codes": settled.codes, "scale": settled.scale, "offset": settled.bias}
    with program.graph.inserting_before(site):
        for part, tensor in parts.items():
            if tensor is None:
                stored.append(None)
                continue
            module.register_buffer(f"{leaf}_{part}", tensor)
            stored.append(program.graph.get_attr(f"{owner}.{leaf}_{part}".lstrip(".")))
        x = arguments(site)[0]
        quantized = program.graph.call_function(settled.operator, (x, *stored, *settled.geometry, settled.bits.weight))
    site.replace_all_uses_with(quantized)
    program.graph.erase_node(site)


def _place(source: Node, readers: list[Node], operator: OpOverload, given: tuple[Any, ...]) -> None:
    with source.graph.inserting_after(source):
        rounded = source.graph.call_function(operator, given)
    rounded.meta.update({key: source.meta[key] for key in ("val",) if key in source.meta})
    for reader in readers:
        reader.replace_input_with(source, rounded)
