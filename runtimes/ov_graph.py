"""What an OpenVINO graph multiplies, what of it its file promises in integers, and as what it really runs.

Shapes come from the file's graph with the batch fixed, types from the graph that the runtime made of it: attention, for
one, runs as a whole, and the runtime does not say what its inside looks like.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

from ..layers import layer_of
from .audit import Kernel

PRODUCTS = ("MatMul", "Convolution", "GroupConvolution", "ScaledDotProductAttention")
MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Gather", "Slice", "StridedSlice", "VariadicSplit", "Split")
"""What codes pass through unchanged."""
CODES = ("i8", "u8", "i4", "u4", "u1")
LOST = "nothing"
"""The operator of a product that the runtime's graph does not mention."""


def products(model: Any) -> list[Any]:
    """The operations that multiply values that depend on the input."""
    live: set[str] = set()
    found = []
    for node in model.get_ordered_ops():
        sources = {value.get_node().get_friendly_name() for value in node.input_values()}
        if node.get_type_name() == "Parameter" or sources & live:
            live.add(node.get_friendly_name())
            if node.get_type_name() in PRODUCTS:
                found.append(node)
    return found


def promises(model: Any) -> dict[str, str]:
    """Node -> layer, for the products whose input is rounded to codes and whose weights are stored as codes."""
    coded = [node for node in products(model) if _rounded(node.input_value(0))]
    layers = {node.get_friendly_name(): _layer(node) for node in coded}
    return {name: layer for name, layer in layers.items() if layer is not None}


def kernels(model: Any, runtime: Any) -> list[Kernel]:
    """A kernel for every product of the model: as what the runtime's graph runs it, and on which types."""
    ran = {name: node for node in runtime.get_ordered_ops() for name in _originals(node)}
    found = ((node, next((ran[name] for name in _aliases(node) if name in ran), None)) for node in products(model))
    return [kernel for node, engine in found for kernel in _kernels(node, engine)]


def _aliases(node: Any) -> Iterator[str]:
    """What the runtime may call a product: by its name, or by that of the bias or the scales that it took in."""
    readers = [reader.get_node() for reader in node.output(0).get_target_inputs()]
    taken = [reader for reader in readers if len(readers) == 1 and reader.get_type_name() in ("Add", "Multiply")]
    for owner in (node, *taken):
        yield owner.get_friendly_name()
        yield f"{owner.get_friendly_name()}/DequantizationMultiply"


def _kernels(node: Any, ran: Any | None) -> Iterator[Kernel]:
    """One kernel; two for attention, which multiplies twice."""
    name, kind, types = node.get_friendly_name(), node.get_type_name(), _types(ran)
    factors = [tuple(node.get_input_shape(index)) for index in range(len(node.inputs()))]
    result = tuple(node.get_output_shape(0))
    engine = _note(ran, "layerType") if ran is not None else LOST
    operator = f"{kind} in {engine}"
    if kind == "ScaledDotProductAttention":
        operator = f"attention's MatMul in {engine}"
        query, key, value = factors[:3]
        scores = (*query[:-1], key[-2])
        yield Kernel(operator, name, ((types[0], query), (types[1], key)), ((types[-1], scores),))
        yield Kernel(operator, name, ((types[2], scores), (types[2], value)), ((types[-1], result),))
        return
    weights = factors[1]
    if kind == "GroupConvolution":
        weights = (math.prod(weights[:2]), *weights[2:])
    yield Kernel(operator, name, ((types[0], factors[0]), (types[1], weights)), ((types[-1], result),))


def _types(ran: Any | None) -> tuple[str, str, str, str]:
    """Of a runtime node's first three inputs (fewer are made up by the last) and of its result."""
    if ran is None:
        return ("unknown",) * 4
    inputs = [value.get_source_output().get_element_type().get_type_name() for value in ran.inputs()]
    first, second, third = (inputs[min(index, len(inputs) - 1)] for index in range(3))
    return first, second, third, ran.output(0).get_element_type().get_type_name()


def _originals(ran: Any) -> list[str]:
    """The operations of the file that a runtime node was made of, and what it is called itself."""
    return [ran.get_friendly_name(), *(name for name in _note(ran, "originalLayersNames").split(",") if name)]


def _note(ran: Any, key: str) -> str:
    """What the runtime says of one of its nodes; nothing where it is silent."""
    notes = ran.get_rt_info()
    return str(getattr(notes[key], "value", notes[key])) if key in notes else ""


def _layer(product: Any) -> str | None:
    """The layer whose codes a product reads, by their name if they have one; None where its weights are no codes."""
    node = product.input_value(1).get_node()
    while node.get_type_name() in ("Multiply", "Subtract", "Convert", *MOVES):
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant" or node.get_element_type().get_type_name() not in CODES:
        return None
    name: str = node.get_friendly_name()
    return str(product.get_friendly_name()) if re.fullmatch(r"Constant[._]\d+", name) else layer_of(name)


def _rounded(value: Any) -> bool:
    """Whether a value is held to a grid of codes, possibly moved since."""
    node = value.get_node()
    while node.get_type_name() in MOVES:
        node = node.input_value(0).get_node()
    if node.get_type_name() == "FakeQuantize":
        return True
    while node.get_type_name() in ("Multiply", "Subtract", "Convert"):
        node = node.input_value(0).get_node()
        if node.get_type_name() == "Convert" and node.get_element_type().get_type_name() in CODES:
            return True
    return False
