"""Every softmax of attention becomes one bit: found in a program, scaled by what calibration images give, replaced.

Before that, the mean of what attention gives is moved from its values to the bias behind it. Shares sum to one, so this
changes nothing; what counts of them does not, and then errs by the difference in what is left of the values only.
"""

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ..errors import UserError
from ..models.backbone import Backbone
from ..models.data import Batches
from ..models.program import trace
from .attention import find_softmaxes, split
from .binary_softmax import BINARY, Fit
from .equalize.affine import rescale
from .equalize.labels import Labels
from .equalize.places import find_values
from .graph import arguments, as_node
from .observe import Look, observe, watch

MATRICES = 3
"""Axes of scores, at least: images, queries, keys."""
ROWS = 4096
"""Of what attention gives, from all images together, of which the mean is taken."""


def refuse_without(backbone: Backbone) -> None:
    """Refuse a backbone that has no attention to binarize."""
    program = trace(backbone.module, backbone.preprocessing.input_size)
    split(program)
    if not _found(program):
        raise UserError(
            f"{backbone.name} has no attention that could be of one bit: no softmax over the last axis weighs values; "
            "leave --binary-attention out"
        )


def binarize(program: GraphModule, batches: Batches) -> str:
    """Replace the softmax of every attention that is written out, in place; what was done."""
    centre(program, batches)
    found = _found(program)
    fits = {softmax: Fit() for softmax in found}
    scores = {softmax: as_node(softmax.args[0]) for softmax in found}
    watch(program, {scores[softmax]: _look(fit) for softmax, fit in fits.items()}, batches)
    for softmax, fit in fits.items():
        with program.graph.inserting_before(softmax):
            binary = program.graph.call_function(BINARY, (scores[softmax], fit.scale()))
        binary.meta["val"] = softmax.meta["val"]
        softmax.replace_all_uses_with(binary)
        program.graph.erase_node(softmax)
    program.recompile()
    error = sum(fit.error() for fit in fits.values()) / len(fits)
    density = sum(fit.density() for fit in fits.values()) / len(fits)
    return f"{len(fits)} attentions of 1 bit: {density:.1%} of their shares count, squared error {error:.1%} of squares"


def centre(program: GraphModule, batches: Batches) -> None:
    """Move the mean of what each attention gives out of its values, where one linear makes them and others read it."""
    places = [place for place in find_values(program, Labels(program)) if place.shiftable]
    sources = {place: as_node(place.readers[0].args[0]) for place in places}
    seen = observe(program, dict.fromkeys(sources.values(), -1), batches, ROWS) if places else {}
    for place, source in sources.items():
        mean = seen[source].rows.mean(0)
        rescale(program, place, torch.ones_like(mean), mean)
    program.recompile()


def _look(fit: Fit) -> Look:
    def look(scores: Tensor, _: int) -> None:
        fit.add(scores)

    return look


def _found(program: GraphModule) -> list[Node]:
    return [softmax for softmax in find_softmaxes(program) if _is_plain(softmax)]


def _is_plain(softmax: Node) -> bool:
    """Whether it is one of floats, over the last axis of matrices."""
    _, axis, kind = arguments(softmax)
    rank = softmax.meta["val"].dim()
    return rank >= MATRICES and axis in (-1, rank - 1) and kind in (None, False, torch.float32)
