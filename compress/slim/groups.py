"""Groups of channels that can only go together, found with torch-pruning's dependency graph (DepGraph, 2301.12900).

torch-pruning says which layers hang together; what is cut where is written down here as places along the axes of
tensors, so that a narrower model is made of the whole one in one step, for any choice of units. Attention is no matter
for the graph: it cannot follow channels through reshapes into heads. So a linear layer stands in for it while the graph
is made, and its heads are groups of their own (see `whole_heads`).
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ... import libraries
from ...errors import UserError
from . import whole_heads as heads
from .cuts import Cut, Group

NEURONS, WIDTHS = "neurons", "widths"


class UnfitError(Exception):
    """Why channels cannot be cut."""


@dataclass(frozen=True)
class _Names:
    """What modules and parameters are called."""

    modules: dict[nn.Module, str]
    parameters: dict[int, str]


def find_groups(module: nn.Module, input_size: Sequence[int]) -> list[Group]:
    """All groups that the graph gives, the heads last. None of them is tried yet."""
    draft = deepcopy(module).requires_grad_(requires_grad=True)
    heads.replace(draft)
    names = _Names(
        {one: name for name, one in draft.named_modules()},
        {id(parameter): name for name, parameter in draft.named_parameters()},
    )
    found = list(_groups(_graph(draft, input_size), names))
    return [*_unlike(found), *heads.find(module)]


def _graph(draft: nn.Module, input_size: Sequence[int]) -> Any:
    torch_pruning = libraries.torch_pruning()
    base = torch_pruning.DependencyGraph
    flat = {torch_pruning.ops.OPTYPE.RESHAPE, torch_pruning.ops.OPTYPE.UNBIND, torch_pruning.ops.OPTYPE.EXPAND}

    class Graph(base):  # type: ignore[misc, valid-type]
        """A graph in which reshapes leave channels where they are: guesses about them take for ever, and go wrong."""

        def _trace(self, *args: Any, **words: Any) -> Any:
            nodes = super()._trace(*args, **words)
            for node in nodes.values():
                if node.type in flat:
                    node.type = torch_pruning.ops.OPTYPE.ELEMENTWISE
            return nodes

    try:
        with torch.enable_grad():
            return Graph().build_dependency(draft, torch.zeros(1, *input_size), verbose=False)
    except (TypeError, ZeroDivisionError) as failure:
        raise UserError(f"torch-pruning cannot follow the channels of this model: {failure}") from failure


def _groups(graph: Any, names: _Names) -> Iterator[Group]:
    for found in graph.get_all_groups(root_module_types=[nn.Linear, nn.Conv2d]):
        units = len(found[0].idxs)
        cuts: list[Cut] = []
        try:
            for item in found:
                reads = not graph.is_out_channel_pruning_fn(item.dep.handler)
                cuts += _cuts(item, names, units, reads=reads)
        except UnfitError:
            continue
        if any(cut.reads for cut in cuts):
            writers = sum(cut.writes for cut in cuts)
            yield Group(
                names.modules[found[0].dep.target.module], NEURONS if writers == 1 else WIDTHS, units, tuple(cuts)
            )


def _cuts(item: Any, names: _Names, units: int, *, reads: bool) -> list[Cut]:
    """The places that one member of a group gives up."""
    node, target = item.dep.target, item.dep.target.module
    places, of = torch.tensor(item.idxs), torch.tensor(item.root_idxs)
    if isinstance(target, nn.Parameter):
        return [Cut(names.parameters[id(target)], _axis_of(target, node.pruning_dim, units), places, of)]
    name = names.modules.get(target)
    if name is None:
        if "Output" in type(target).__name__:
            raise UnfitError("the answers stay")
        return []
    if isinstance(target, heads.StandIn):
        weight, bias = (f"{name}.qkv", None) if reads else (f"{name}.proj", target.bias)
    else:
        weight, bias = name, getattr(target, "bias", None)
    inner = isinstance(target, (nn.Linear, nn.Conv2d)) and not _is_depthwise(target)
    if inner and getattr(target, "groups", 1) > 1:
        raise UnfitError(f"{name} is a convolution in groups")
    if inner and reads:
        before = heads.norm_of(target, name)
        return [*(Cut(own, 0, places, of) for own in before), Cut(f"{weight}.weight", 1, places, of, reads=True)]
    if not inner and not isinstance(target, (nn.Conv2d, nn.LayerNorm, nn.BatchNorm2d, nn.BatchNorm1d, nn.GroupNorm)):
        raise UnfitError(f"{name} is a {type(target).__name__}")
    cuts = [Cut(f"{weight}.weight", 0, places, of, writes=inner)] if target.weight is not None else []
    if bias is not None:
        cuts.append(Cut(f"{weight}.bias", 0, places, of))
    if isinstance(target, (nn.BatchNorm2d, nn.BatchNorm1d)):
        cuts += [Cut(f"{name}.{buffer}", 0, places, of) for buffer in ("running_mean", "running_var")]
    return cuts


def _axis_of(parameter: Tensor, proposed: int, units: int) -> int:
    """The axis of the channels: the one that has as many, or else what the graph proposes."""
    fitting = [axis for axis, size in enumerate(parameter.shape) if size == units]
    return fitting[-1] if fitting and proposed not in fitting else proposed


def _is_depthwise(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels == layer.out_channels > 1


def _unlike(groups: Sequence[Group]) -> list[Group]:
    """Those of the groups that no other cuts in the same places."""
    taken: dict[tuple[str, int], list[Tensor]] = {}
    kept = []
    for group in groups:
        spots = [(cut.tensor, cut.axis, cut.places) for cut in group.cuts]
        if not any(
            torch.isin(places, old).any() for tensor, axis, places in spots for old in taken.get((tensor, axis), ())
        ):
            kept.append(group)
            for tensor, axis, places in spots:
                taken.setdefault((tensor, axis), []).append(places)
    return kept
