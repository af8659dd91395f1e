"""Attention whose queries, keys and values are linears of their own: what can be narrowed head by head.

Projections are often one linear, whose result is reshaped into equal parts. `separate` gives each part a linear of its
own, followed by one view that says how wide a head is; so queries and keys can become narrower than values. It is
exact: the rows of a product do not know each other. Attention has to be one operator, and every part has to reach it as
[images, heads, tokens, dimensions] in order; what is turned, normalized or looked at on the way is left alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from ..attention import ATTENTION
from ..equalize.labels import Labels, Reading
from ..graph import arguments, as_node, aten, find_sites, layer, tensor
from ..parameters import add_parameter, bias_of, has_own_weight, set_bias, set_weight, weight_of

ROLES = ("query", "key", "value")


@dataclass(frozen=True)
class Part:
    """A linear, and the view of its result as heads; or a view of heads as columns, and the linear that reads it."""

    site: Node
    view: Node
    tokens: int

    def reshape(self, *sizes: int) -> None:
        """Have the view make other sizes of what it reads, behind the images and tokens."""
        self.view.args = (self.view.args[0], [-1, self.tokens, *sizes])


@dataclass(frozen=True)
class Heads:
    """An attention, as far as it could be separated."""

    attention: Node
    count: int
    """Of heads."""
    query: Part | None
    key: Part | None
    value: Part | None
    output: Part | None
    """What alone reads the result."""


Key = tuple[Node, Node]
"""A reader, and what it reads."""


def separate(program: GraphModule) -> list[Heads]:
    """Give the parts of every attention linears of their own, in place; the attentions, in the order they run."""
    labels = Labels(program)
    attentions = [node for node in program.graph.find_nodes(op="call_function", target=ATTENTION) if _is_plain(node)]
    written = {site: rows for site in _linears(program) if (rows := _written(labels, site, attentions))}
    read = {attention: found for attention in attentions if (found := _read(program, labels, attention))}
    sources_of = {attention: arguments(attention)[:3] for attention in attentions}
    parts: dict[Key, Part] = {}
    for site, rows in written.items():
        for at, (place, index) in enumerate(rows.items()):
            own = _cut(program, site, index, _role(place, at)) if len(rows) > 1 else _sorted(program, site, index)
            parts[place] = _as_heads(program, own, labels.known[site][1], index)
    outputs = {attention: _own_view(program, attention, *where) for attention, where in read.items()}
    for (reader, source), part in parts.items():
        reader.replace_input_with(source, as_node(next(iter(part.view.users))))
    program.graph.eliminate_dead_code()
    program.recompile()
    separated = []
    for one, sources in sources_of.items():
        query, key, value = (parts.get((one, source)) for source in sources)
        separated.append(Heads(one, labels.known[one][1], query, key, value, outputs.get(one)))
    return separated


def _is_plain(attention: Node) -> bool:
    *sources, _, dropout, _, _, grouped = arguments(attention)
    return not (dropout or grouped) and len(set(sources)) == len(ROLES)


def _linears(program: GraphModule) -> list[Node]:
    return [
        site for site in find_sites(program) if site.target is aten.linear.default and has_own_weight(program, site)
    ]


def _written(labels: Labels, site: Node, attentions: list[Node]) -> dict[Key, Tensor]:
    """For whatever reads a linear as heads, which row each dimension is, [h, d]; nothing if anything else reads it."""
    shape = labels.known[site]
    readings = labels.readings(site)
    if len(shape) != 3 or not any(one.reader in attentions for one in readings):
        return {}
    images, tokens = (_by_key(labels.readings(site, axis)) for axis in (0, 1))
    rows: dict[Key, Tensor] = {}
    for one in readings:
        key = (one.reader, one.source)
        if key in rows or one.labels.dim() != 4:
            return {}
        index = one.labels[0, :, 0]
        same = bool((one.labels == index[None, :, None]).all())
        if not (same and _in_order(images.get(key), 0) and _in_order(tokens.get(key), 2)):
            return {}
        rows[key] = index.long() - 1
    every = torch.cat([index.flatten() for index in rows.values()])
    return rows if len(every.unique()) == len(every) and int(every.min()) >= 0 else {}


def _by_key(readings: list[Reading]) -> Mapping[Key, Tensor]:
    return {(one.reader, one.source): one.labels for one in readings}


def _in_order(labels: Tensor | None, axis: int) -> bool:
    """Whether labels count up along an axis and along no other."""
    if labels is None or labels.dim() <= axis:
        return False
    numbers = torch.arange(1, labels.shape[axis] + 1, dtype=labels.dtype)
    across = [1] * labels.dim()
    across[axis] = -1
    return bool((labels == numbers.view(across)).all())


def _read(program: GraphModule, labels: Labels, attention: Node) -> tuple[Node, Tensor, int] | None:
    """The linear that reads an attention's result, which dimension of which head each column is, and for how many."""
    size = labels.known[attention]
    if len(size) != 4:
        return None
    each = torch.arange(1, size[1] * size[3] + 1, dtype=torch.float64).view(1, size[1], 1, size[3])
    found = list(labels.follow(attention, each.expand(size)))
    columns = found[0].columns() if len(found) == 1 else None
    reader = found[0].reader if found else attention
    if columns is None or reader.target is not aten.linear.default or not has_own_weight(program, reader):
        return None
    whole = sorted(columns.tolist()) == list(range(1, size[1] * size[3] + 1))
    if not whole or found[0].labels.dim() != 3 or found[0].source is not reader.args[0]:
        return None
    for axis, wanted in ((0, 0), (2, 1)):
        numbers = torch.arange(1, size[axis] + 1, dtype=torch.float64).view(-1, *[1] * (3 - axis))
        (moved,) = labels.follow(attention, numbers.expand(size))
        if not _in_order(moved.labels, wanted):
            return None
    return reader, columns - 1, size[2]


def _role(key: Key, at: int) -> str:
    """What a part of a projection is called."""
    reader, source = key
    parts = arguments(reader)[:3] if reader.target == ATTENTION else ()
    return ROLES[parts.index(source)] if source in parts else f"part{at}"


def _cut(program: GraphModule, site: Node, rows: Tensor, role: str) -> Node:
    """A linear of some rows of another, before it."""
    index, owner = rows.flatten(), f"{layer(site)}.{role}"
    weight, bias = weight_of(program, site)[index], bias_of(program, site)[index]
    kind = tensor(program, as_node(site.args[1])).dtype
    program.add_submodule(owner, nn.Module())
    with program.graph.inserting_before(site):
        stored = [
            add_parameter(program, owner, name, one.to(kind)) for name, one in (("weight", weight), ("bias", bias))
        ]
        return program.graph.call_function(aten.linear.default, (site.args[0], *stored))


def _sorted(program: GraphModule, site: Node, rows: Tensor) -> Node:
    """The same linear, its rows in the order of the heads."""
    index = rows.flatten()
    weight, bias = weight_of(program, site)[index], bias_of(program, site)[index]
    set_weight(program, site, weight)
    set_bias(program, site, bias)
    return site


def _as_heads(program: GraphModule, own: Node, tokens: int, rows: Tensor) -> Part:
    """A linear, and its result viewed as heads; these are then turned to stand before the tokens."""
    with program.graph.inserting_after(own):
        view = program.graph.call_function(aten.reshape.default, (own, [-1, tokens, *rows.shape]))
    with program.graph.inserting_after(view):
        program.graph.call_function(aten.transpose.int, (view, 1, 2))
    return Part(own, view, tokens)


def _own_view(program: GraphModule, attention: Node, reader: Node, columns: Tensor, tokens: int) -> Part:
    """One view of all heads as columns, read in their order."""
    set_weight(program, reader, weight_of(program, reader)[:, columns.argsort()])
    with program.graph.inserting_before(reader):
        turned = program.graph.call_function(aten.transpose.int, (attention, 1, 2))
        view = program.graph.call_function(aten.reshape.default, (turned, [-1, tokens, len(columns)]))
    reader.args = (view, *reader.args[1:])
    return Part(reader, view, tokens)
