"""Where channels can be rescaled at no cost: between layer norms or attention values and the linears that read them."""

from collections.abc import Iterator

import torch
from torch.fx import GraphModule, Node

from ..attention import PRODUCTS, WEIGHS
from ..binary_softmax import BINARY
from ..graph import arguments, aten
from ..parameters import constant, has_own_weight, is_constant
from .affine import Place
from .labels import Labels, Reading, origin


def find_norms(program: GraphModule, labels: Labels) -> Iterator[Place]:
    """Every layer norm over the last axis, with a weight of its own, that nothing reads but linears."""
    for norm in program.graph.find_nodes(op="call_function", target=aten.layer_norm.default):
        if len(arguments(norm)[1]) == 1 and has_own_weight(program, norm):
            place = _place(program, norm, labels.readings(norm))
            if place:
                yield place


def find_values(program: GraphModule, labels: Labels) -> Iterator[Place]:
    """Every linear that writes the values of an attention whose output nothing reads but linears.

    The rows of a softmax sum to one, so what is added to every token's value arrives as it is.
    """
    for writer in program.graph.find_nodes(op="call_function", target=aten.linear.default):
        if has_own_weight(program, writer):
            readings = labels.readings(writer)
            for reading in readings:
                place = _of_attention(program, writer, reading, labels)
                others = [other.labels for other in readings if other is not reading]
                if place and not any(torch.isin(place.rows + 1, read).any() for read in others):
                    yield place


def _of_attention(program: GraphModule, writer: Node, reading: Reading, labels: Labels) -> Place | None:
    """The place of the values that a product of attention reads."""
    attention, shape = reading.reader, labels.known.get(reading.reader)
    averages = _averages(program, reading, labels)
    values = reading.labels
    if averages is None or shape is None or values.shape[:-2] != shape[:-2]:
        return None
    token = values[..., :1, :]
    if not bool((values == token).all()):
        return None
    place = _place(program, writer, list(labels.follow(attention, token.expand(shape))))
    return place and Place(writer, place.rows, place.readers, place.shiftable and averages)


def _averages(program: GraphModule, reading: Reading, labels: Labels) -> bool | None:
    """Whether the weights by which an operator adds up the values always sum to one; None if it is no attention."""
    attention, values = reading.reader, reading.source
    if attention.target is aten.scaled_dot_product_attention.default:
        query, key, read, mask, dropout, *_ = arguments(attention)
        plain = read is values and values not in (query, key) and dropout == 0
        return mask is None or shows_some(program, mask) if plain else None
    if attention.target in PRODUCTS and attention.args[1] is values and attention.args[0] is not values:
        weights = attention.args[0]
        softmax = origin(weights) if isinstance(weights, Node) else None
        if softmax and softmax.target in WEIGHS and _whole_rows(softmax, attention, labels):
            return softmax.target is not BINARY
    return None


def shows_some(program: GraphModule, mask: Node) -> bool:
    """Whether a mask leaves every token something to see: where it hides all, the attention's output is zero."""
    if not is_constant(mask):
        return False
    hidden = constant(program, mask)
    return bool((hidden if hidden.dtype is torch.bool else hidden > -torch.inf).any(-1).all())


def _whole_rows(softmax: Node, product: Node, labels: Labels) -> bool:
    """Whether the rows over which a softmax normalizes are the rows that a product reads."""
    shape = labels.known[softmax]
    if softmax.target is not BINARY and arguments(softmax)[1] % len(shape) != len(shape) - 1:
        return False
    whole = torch.arange(1, shape[-1] + 1)
    found = [reading.columns() for reading in labels.readings(softmax) if reading.reader is product]
    return len(found) == 1 and found[0] is not None and torch.equal(found[0], whole)


def _place(program: GraphModule, writer: Node, readings: list[Reading]) -> Place | None:
    """The place between a writer and what reads it, if all of that are linears that read the same channels alike."""
    columns = [reading.columns() for reading in readings if reads_channels(program, reading)]
    first = columns[0] if columns else None
    if first is None or len(columns) < len(readings) or len(first.unique()) < len(first):
        return None
    if not all(other is not None and torch.equal(first, other) for other in columns):
        return None
    readers = tuple(reading.reader for reading in readings)
    return Place(writer, first - 1, readers, not any(reading.padded for reading in readings))


def reads_channels(program: GraphModule, reading: Reading) -> bool:
    """Whether what reads is a linear with weights of its own, and reads as its input."""
    reader = reading.reader
    return (
        reader.target is aten.linear.default
        and reader.args[0] is reading.source
        and reader.all_input_nodes.count(reading.source) == 1
        and has_own_weight(program, reader)
    )
