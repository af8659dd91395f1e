"""Queries, keys and values of one range: what each channel reaches is evened out, and the scale of attention is inside.

The channels of queries and keys meet in pairs, and only their product counts: with (a q)(b k) = s q k for the scale s,
a and b are chosen so that both reach the same. The channels of values are weighed by the softmax and read by a linear:
W v = (W / c)(c v), and c lets every channel reach what queries and keys do. One range then fits all that the
projections give, so that it can be rounded as a whole where it is made; integer products of activations ask for that
on OpenVINO. Nothing multiplies by s any more. What a channel reaches is taken as the extremes seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ...models.data import Batches
from ..attention import scores_of
from ..draft import Draft
from ..graph import as_node, aten, find_sites
from ..observe import Seen, observe
from ..parameters import has_own_weight, scale_outputs, set_weight, weight_of
from .labels import Labels, Reading

LEAST = 2**-6
"""A channel that reaches less than this part of the largest is taken to reach as much: it may be dead."""


@dataclass(frozen=True)
class Channels:
    """Channels of a linear's result, in the order in which attention reads them."""

    site: Node
    index: Tensor

    def reach(self, seen: dict[Node, Seen]) -> Tensor:
        """The largest magnitude of each."""
        found = seen[self.site]
        reach = torch.maximum(found.low.abs(), found.high.abs()).double()[self.index]
        return reach.clamp_min(reach.max().item() * LEAST)


@dataclass(frozen=True)
class Heads:
    """An attention whose three parts come of linears, and whose result goes into one."""

    query: Channels
    key: Channels
    value: Channels
    output: Channels
    """The channels of the value as the output's linear reads them: its site is that linear."""
    scaling: Node | None
    """What multiplies the queries by the scale."""

    @property
    def scale(self) -> float:
        """What the products are multiplied by."""
        return 1.0 if self.scaling is None else float(self.scaling.args[1])  # type: ignore[arg-type]


@dataclass(frozen=True)
class BalanceProducts:
    """Attention that is written out; `vitc.compress.attention.split` does that."""

    def apply(self, draft: Draft, batches: Batches) -> None:
        """Balance every attention that has this form."""
        found = list(find_heads(draft.program))
        axes = {part.site: -1 for heads in found for part in (heads.query, heads.key, heads.value)}
        seen = observe(draft.program, axes, batches) if axes else {}
        for heads in found:
            balance(draft.program, heads, seen)
        draft.program.graph.eliminate_dead_code()
        draft.program.recompile()
        draft.notes.append(f"balanced queries, keys and values of {len(found)} attentions")


def factors(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """What to multiply channels by that reach so much: a * b is the scale, and all reach the same at most."""
    a = (scale * key / query).sqrt()
    return a, scale / a, (a * query).max() / value


def balance(program: GraphModule, heads: Heads, seen: dict[Node, Seen]) -> None:
    """Change the weights around one attention."""
    query, key, value = (part.reach(seen) for part in (heads.query, heads.key, heads.value))
    a, b, c = factors(query, key, value, heads.scale)
    for part, factor in ((heads.query, a), (heads.key, b), (heads.value, c)):
        every = torch.ones(len(weight_of(program, part.site)), dtype=torch.float64)
        every[part.index] = factor
        scale_outputs(program, part.site, every)
    undo = torch.ones(int(heads.value.index.max()) + 1, dtype=torch.float64)
    undo[heads.value.index] = 1 / c
    site = heads.output.site
    set_weight(program, site, weight_of(program, site) * undo[heads.output.index])
    if heads.scaling is not None:
        heads.scaling.replace_all_uses_with(as_node(heads.scaling.args[0]))


Readings = dict[Node, list[Reading]]
"""Of every linear that may be changed: what reads its channels."""


def find_heads(program: GraphModule) -> Iterator[Heads]:
    """The attentions that can be balanced."""
    labels = Labels(program)
    free = [
        site for site in find_sites(program) if site.target == aten.linear.default and has_own_weight(program, site)
    ]
    readings: Readings = {site: labels.readings(site) for site in free}
    for product in program.graph.nodes:
        heads = _heads(product, labels, readings)
        if heads is not None:
            yield heads


def _heads(product: Node, labels: Labels, readings: Readings) -> Heads | None:
    """The attention that ends with this node, if it is a product of a softmax with values."""
    scores = scores_of(product)
    if scores is None:
        return None
    left, right = (as_node(factor) for factor in scores.args[:2])
    scaled = left.target == aten.mul.Tensor and _is_factor(left.args[1]) and len(left.users) == 1
    reader, source = (left, as_node(left.args[0])) if scaled else (scores, left)
    query = _channels(readings, reader, source)
    key = _channels(readings, scores, right, tokens=-1)
    value = _channels(readings, product, as_node(product.args[1]))
    if query is None or key is None or value is None or len(query.index) != len(key.index):
        return None
    ends = {(reader, source), (scores, right), (product, product.args[1])}
    if any((one.reader, one.source) not in ends for part in (query, key, value) for one in readings[part.site]):
        return None
    output = _output(product, labels, value, readings)
    return None if output is None else Heads(query, key, value, output, left if scaled else None)


def _is_factor(number: object) -> bool:
    return isinstance(number, int | float) and number > 0


def _channels(readings: Readings, reader: Node, source: Node, tokens: int = -2) -> Channels | None:
    """The channels of a linear that a product reads as [B, h, N, d], or with N, the tokens, along another axis."""
    found = [
        (site, one)
        for site, each in readings.items()
        for one in each
        if (one.reader, one.source) == (reader, source) and not one.padded
    ]
    if len(found) != 1 or found[0][1].labels.dim() != 4:
        return None
    ((site, reading),) = found
    heads = reading.labels.select(tokens, 0)[:1]
    index = heads.flatten().long() - 1
    same = bool((reading.labels == heads.unsqueeze(tokens)).all()) and len(index.unique()) == len(index)
    return Channels(site, index) if same else None


def _output(product: Node, labels: Labels, value: Channels, readings: Readings) -> Channels | None:
    """The linear that reads the result, and which channel of the value each of its inputs is."""
    size = labels.known[product]
    each = (value.index + 1).double().view(1, -1, 1, size[-1])
    found = list(labels.follow(product, each.expand(size)))
    columns = found[0].columns() if len(found) == 1 else None
    if columns is None or found[0].padded or found[0].reader not in readings:
        return None
    return Channels(found[0].reader, columns - 1)
