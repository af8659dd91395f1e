"""What a change of one layer does to the answers: measured, by running on from there and comparing.

A layer's own error does not say how much it matters. The last layers of a classifier look at one token, the first ones
are read by all others; only the answers tell.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.nn import functional

from ..graph import arguments, attribute
from ..walk import evaluate, last_read

Parameters = tuple[Tensor, Tensor]
"""A weight and a bias to try in place of a layer's own."""

Instead = Callable[..., Tensor]

Change = Mapping[Node, Instead]
"""What some nodes do instead of what they are; it is given what they read."""


def measure(
    program: GraphModule, trials: Mapping[Node, Sequence[Parameters]], batches: Iterable[Tensor]
) -> dict[Node, list[float]]:
    """How far each trial takes the answers from the program's own, in the mean over images."""
    changes = [{site: _layer(site, parameters)} for site, tried in trials.items() for parameters in tried]
    found = iter(compare(program, changes, batches))
    return {site: [next(found) for _ in tried] for site, tried in trials.items()}


def compare(
    program: GraphModule, changes: Sequence[Change], batches: Iterable[Tensor], reference: Instead | None = None
) -> list[float]:
    """How far each change takes the answers from the program's own, or a reference's, in the mean over images."""
    course = _Course(program, changes)
    sums = [0.0] * len(changes)
    images = 0
    with torch.no_grad():
        for batch in batches:
            own, found = course.run(batch)
            exact = own if reference is None else reference(batch)
            for at, answer in found.items():
                sums[at] += float(divergence(exact, answer).sum())
            images += len(batch)
    return [one / images for one in sums]


def _layer(site: Node, parameters: Parameters) -> Instead:
    """A layer with other parameters."""
    others = arguments(site)[3:]
    operator: Any = site.target
    return lambda x, *_, **__: operator(x, *parameters, *others)


def divergence(exact: Tensor, found: Tensor) -> Tensor:
    """For each image, how far its answer is off: Kullback and Leibler's, or the square where there is one number."""
    exact, found = exact.double().flatten(1), found.double().flatten(1)
    if exact.shape[1] == 1:
        return (exact - found).square().sum(1)
    apart = functional.kl_div(found.log_softmax(1), exact.log_softmax(1), reduction="none", log_target=True)
    return apart.sum(1).clamp_min(0)


class _Course:
    """A program that can be run on from any node, several times."""

    def __init__(self, program: GraphModule, changes: Sequence[Change]) -> None:
        self.program = program
        self.changes = changes
        self.nodes = list(program.graph.nodes)
        self.done = last_read(program)
        (self.answer,) = self.nodes[-1].all_input_nodes
        place = {node: at for at, node in enumerate(self.nodes)}
        self.starts = [min(place[node] for node in change) for change in changes]

    def run(self, batch: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """The program's own answer, and those of the changes, by their place."""
        known: dict[Node, object] = {}
        found: dict[int, Tensor] = {}
        for at, node in enumerate(self.nodes[:-1]):
            for place, start in enumerate(self.starts):
                if start == at:
                    found[place] = self._try(at, known, self.changes[place])
            self._compute(node, known, batch)
        return self._answer(known), found

    def _try(self, at: int, known: Mapping[Node, object], change: Change) -> Tensor:
        """The answer with a change: a copy runs on, as operators may write into what they read."""
        own = {node: value.clone() if isinstance(value, Tensor) else value for node, value in known.items()}
        for node in self.nodes[at:-1]:
            if node in change:
                own[node] = evaluate(node, own, change[node])
                self._forget(node, own)
            else:
                self._compute(node, own, None)
        return self._answer(own)

    def _compute(self, node: Node, known: dict[Node, object], batch: Tensor | None) -> None:
        if node.op == "placeholder":
            known[node] = batch
        elif node.op == "get_attr":
            known[node] = attribute(self.program, node)
        else:
            known[node] = evaluate(node, known)
        self._forget(node, known)

    def _forget(self, node: Node, known: dict[Node, object]) -> None:
        """Let go of what a node was the last to read."""
        for read in self.done.get(node, ()):
            if read is not self.answer:
                known.pop(read, None)

    def _answer(self, known: Mapping[Node, object]) -> Tensor:
        answer = known[self.answer]
        assert isinstance(answer, Tensor)
        return answer
