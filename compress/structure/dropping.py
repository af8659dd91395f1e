"""Whole branches go: each time the one without which the answers change least, as measured on calibration images.

Either nothing is left of a branch, or what it adds to each channel in the mean; what is nearer to the answers. Nothing
is nearer where branches were left out in training already (stochastic depth), as for DeiT.
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor
from torch.fx import GraphModule

from ...errors import UserError
from ...models.data import Batches, first
from ..observe import check_finite, watch
from ..parameters import add_parameter
from .branches import Branch, find_blocks, find_branches
from .hidden import BATCH, rebatched
from .sharing import IMAGES
from .trials import Change, Instead, compare

Unit = tuple[Branch, ...]
"""Branches that go together."""


def check_drop(program: GraphModule, name: str, sublayers: int, blocks: int) -> None:
    """Refuse to drop as much as there is."""
    branches, found_blocks = len(find_branches(program)), len(find_blocks(program))
    for word, asked, found in (("blocks", blocks, found_blocks), ("sublayers", sublayers, branches - 2 * blocks)):
        if asked and asked >= found:
            raise UserError(f"{word}={asked} is too many for {name}: of {found} that can go, one has to stay")


def drop(program: GraphModule, sublayers: int, blocks: int, batches: Batches) -> list[str]:
    """Drop so many blocks, then so many branches, in place; what is to be said of it."""
    whole, notes = deepcopy(program), []
    for word, count in (("blocks", blocks), ("sublayers", sublayers)):
        gone = [_drop_one(program, whole, _units(program, word), batches) for _ in range(count)]
        if gone:
            notes.append(f"{word} that go, and how far the answers are off then: {', '.join(gone)}")
    return notes


def _units(program: GraphModule, word: str) -> list[Unit]:
    return find_blocks(program) if word == "blocks" else [(branch,) for branch in find_branches(program)]


def _drop_one(program: GraphModule, whole: GraphModule, units: Sequence[Unit], batches: Batches) -> str:
    """Drop that without which the answers stay nearest to those of the whole, in place; its name, and how near."""
    means = _means(program, [branch for unit in units for branch in unit], batches)
    ways = [(unit, left) for unit in units for left in ({}, means)]
    changes: list[Change] = [{one.add: _instead(one, left.get(one)) for one in unit} for unit, left in ways]
    losses = compare(program, changes, rebatched(first(batches, IMAGES), BATCH), whole)
    at = min(range(len(ways)), key=losses.__getitem__)
    unit, left = ways[at]
    for branch in reversed(unit):
        remove(program, branch, left.get(branch))
    what = " and ".join(branch.name for branch in unit)
    return f"{what}{' but for the mean' if left else ''} {losses[at]:.3g}"


def _means(program: GraphModule, branches: Sequence[Branch], batches: Batches) -> dict[Branch, Tensor]:
    """What each branch adds to a channel, in the mean over images and tokens, in the shape that meets the stream."""
    seen = {branch: _Mean(branch.axis) for branch in branches}
    watch(program, {branch.given: one.add for branch, one in seen.items()}, rebatched(batches, BATCH))
    return {branch: one.value() for branch, one in seen.items()}


class _Mean:
    """Of channels, in doubles."""

    def __init__(self, axis: int) -> None:
        self.axis, self.sum, self.rows = axis, torch.zeros((), dtype=torch.float64), 0

    def add(self, x: Tensor, _: int) -> None:
        """Take in the values of one batch."""
        check_finite(*x.aminmax())
        rows = x.double().movedim(self.axis, -1).flatten(0, -2)
        self.sum, self.rows = self.sum + rows.sum(0), self.rows + len(rows)

    def value(self) -> Tensor:
        """What was found, with the axes that are behind the channels."""
        return (self.sum / self.rows).float().view(-1, *[1] * (-1 - self.axis))


def _instead(branch: Branch, mean: Tensor | None) -> Instead:
    """The addition without the branch."""
    at = branch.term
    return lambda *terms: terms[at].clone() if mean is None else terms[at] + mean


def remove(program: GraphModule, branch: Branch, mean: Tensor | None) -> None:
    """Have nothing added to the stream, or a mean, in place."""
    if mean is None:
        branch.add.replace_all_uses_with(branch.stream)
        program.graph.erase_node(branch.add)
    else:
        with program.graph.inserting_before(branch.add):
            left = add_parameter(program, branch.name, "mean", mean)
        branch.add.replace_input_with(branch.given, left)
    for node in reversed(branch.inside):  # as dead code attention would stay: torch holds it for random
        if not node.users:
            program.graph.erase_node(node)
    program.graph.eliminate_dead_code()
    program.recompile()
