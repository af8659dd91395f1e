"""Which units go next: those that matter least for what they save, until a model is as small as it is to be.

Scores of unlike things do not compare, so within a kind they are taken as shares of all that the kind matters, as in
Isomorphic Pruning (arXiv 2407.04616); kinds then shrink alike, and within a kind goes what matters least for each
multiply-add, or each measured millisecond, that it saves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..structure.budget import stops_of
from .cuts import Group, Kept
from .whole_heads import HEADS

Objective = Callable[[Kept], float]
"""What a narrowed model is told to cost, as a share of the whole one."""

CLOSE = 0.002
"""How near to an aim a plan should come, as a share of it."""
SKIPS = 8
"""How often a step that goes too far is left out."""
LEAST = 4
"""A group keeps at least one of so many of its units."""


@dataclass(frozen=True)
class Terms:
    """What is asked: the groups, what they stay a multiple of, and what is to become less."""

    groups: Sequence[Group]
    multiple: int
    objective: Objective

    def multiple_of(self, group: Group) -> int:
        """Heads go one by one."""
        return 1 if group.kind == HEADS else self.multiple

    def stops(self, group: Group) -> list[int]:
        """How many units of a group may go, in rising order."""
        multiple = self.multiple_of(group)
        return stops_of(group.units, multiple, group.units - max(multiple, -(-group.units // LEAST)))


@dataclass(frozen=True, eq=False)
class _Step:
    """Units that go together, and what that costs for what it saves."""

    price: float
    group: str
    units: Tensor


def choose(terms: Terms, kept: Kept, scores: Mapping[str, Tensor], aim: float) -> Kept:
    """What is kept when the least has gone that takes the objective to `aim`; all that may go, if that is too little.

    Where the last step goes far past the aim, its group is left as it is, and others go on.
    """
    steps = _steps(terms, kept, scores)
    tried = []
    for _ in range(SKIPS):
        count = _enough(terms, kept, steps, aim)
        left = without(kept, steps[:count])
        tried.append((abs(terms.objective(left) - aim), left))
        if not count or tried[-1][0] <= CLOSE * aim:
            break
        skipped = steps[count - 1].group
        steps = [*steps[: count - 1], *(step for step in steps[count:] if step.group != skipped)]
    return min(tried, key=lambda one: one[0])[1]


def _enough(terms: Terms, kept: Kept, steps: Sequence[_Step], aim: float) -> int:
    """The number of steps that first reaches the aim."""
    low, high = 0, len(steps)
    while low < high:
        middle = (low + high) // 2
        if terms.objective(without(kept, steps[:middle])) <= aim:
            high = middle
        else:
            low = middle + 1
    return low


def without(kept: Kept, steps: Sequence[_Step]) -> Kept:
    """What is kept after some steps."""
    left = {name: mask.clone() for name, mask in kept.items()}
    for step in steps:
        left[step.group][step.units] = False
    return left


def uniform(terms: Terms, kind: str, share: float) -> Kept:
    """Every group of a kind cut to a share, the others whole."""
    kept = {group.name: group.whole for group in terms.groups}
    for group in (group for group in terms.groups if group.kind == kind):
        count = max(stop for stop in terms.stops(group) if stop <= max((1 - share) * group.units, 1))
        kept[group.name][group.units - count :] = False
    return kept


def _steps(terms: Terms, kept: Kept, scores: Mapping[str, Tensor]) -> list[_Step]:
    """Every step that may be taken, the cheapest first; those of a group in their order."""
    gains = {group.name: _gain(terms, kept, group) for group in terms.groups}
    kinds = {group.kind for group in terms.groups}
    of_kind = {kind: [group.name for group in terms.groups if group.kind == kind] for kind in kinds}
    matters = {kind: sum(float(scores[name].sum()) for name in names) for kind, names in of_kind.items()}
    saves = {kind: sum(gains[name] * int(kept[name].sum()) for name in names) for kind, names in of_kind.items()}
    steps = []
    for group in terms.groups:
        if gains[group.name] <= 0:
            continue
        left = kept[group.name].nonzero().flatten()
        order = left[scores[group.name][left].argsort(stable=True)]
        rate = saves[group.kind] / ((matters[group.kind] or 1.0) * gains[group.name])
        for units in _portions(terms, group, order):
            mean = float(scores[group.name][units].mean())
            steps.append(_Step(mean * rate, group.name, units))
    return sorted(steps, key=lambda step: step.price)


def _portions(terms: Terms, group: Group, order: Tensor) -> list[Tensor]:
    """The units still there, in the portions in which they may go."""
    gone = group.units - len(order)
    return [order[start - gone : end - gone] for start, end in pairwise(terms.stops(group)) if start >= gone]


def _gain(terms: Terms, kept: Kept, group: Group) -> float:
    """What one unit of a group saves, where some go."""
    left = kept[group.name].nonzero().flatten()
    count = min(terms.multiple_of(group), len(left) - 1)
    if count < 1:
        return 0.0
    fewer = {**kept, group.name: kept[group.name].clone()}
    fewer[group.name][left[:count]] = False
    return (terms.objective(kept) - terms.objective(fewer)) / count


def summary(groups: Sequence[Group], kept: Kept) -> str:
    """How much of each kind went."""
    said = []
    for kind in dict.fromkeys(group.kind for group in groups):
        those = [group for group in groups if group.kind == kind]
        gone = sum(int((~kept[group.name]).sum()) for group in those)
        said.append(f"{gone} of {sum(group.units for group in those)} {kind}")
    return ", ".join(said)


def widths(groups: Sequence[Group], kept: Kept) -> str:
    """What each group that was cut is left with."""
    cut = [group for group in groups if not bool(torch.all(kept[group.name]))]
    return ", ".join(f"{group.name} {int(kept[group.name].sum())}/{group.units}" for group in cut)
