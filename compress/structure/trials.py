"""What a change of one layer does to the answers: measured, by running on from there and comparing.

A layer's own error does not say how much it matters. The last layers of a classifier look at one token, the first ones
are read by all others; only the answers tell.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.nn import functional

from ..graph import arguments, attribute
from ..walk import Values, evaluate, last_read

Parameters = tuple[Tensor, Tensor]
"""A weight and a bias to try in place of a layer's own."""


def measure(
    program: GraphModule, trials: Mapping[Node, Sequence[Parameters]], batches: Iterable[Tensor]
) -> dict[Node, list[float]]:
    """How far each trial takes the answers from the program's own, in the mean over images."""
    course = _Course(program)
    sums = {site: [0.0] * len(tried) for site, tried in trials.items()}
    images = 0
    with torch.no_grad():
        for batch in batches:
            exact, found = course.run(batch, trials)
            for site, answers in found.items():
                for at, answer in enumerate(answers):
                    sums[site][at] += float(divergence(exact, answer).sum())
            images += len(batch)
    return {site: [one / images for one in those] for site, those in sums.items()}


def divergence(exact: Tensor, found: Tensor) -> Tensor:
    """For each image, how far its answer is off: Kullback and Leibler's, or the square where there is one number."""
    exact, found = exact.double().flatten(1), found.double().flatten(1)
    if exact.shape[1] == 1:
        return (exact - found).square().sum(1)
    apart = functional.kl_div(found.log_softmax(1), exact.log_softmax(1), reduction="none", log_target=True)
    return apart.sum(1).clamp_min(0)


class _Course:
    """A program that can be run on from any node, several times."""

    def __init__(self, program: GraphModule) -> None:
        self.program = program
        self.nodes = list(program.graph.nodes)
        self.done = last_read(program)
        (self.answer,) = self.nodes[-1].all_input_nodes

    def run(self, batch: Tensor, trials: Mapping[Node, Sequence[Parameters]]) -> tuple[Tensor, dict[Node, Values]]:
        """The program's own answer, and those of the trials."""
        known: dict[Node, object] = {}
        found: dict[Node, Values] = {}
        for at, node in enumerate(self.nodes[:-1]):
            if node in trials:
                found[node] = [self._try(at, known, one) for one in trials[node]]
            self._compute(node, known, batch)
        return self._answer(known), found

    def _try(self, at: int, known: Mapping[Node, object], parameters: Parameters) -> Tensor:
        """The answer with other parameters at a node: a copy runs on, as operators may write into what they read."""
        own = {node: value.clone() if isinstance(value, Tensor) else value for node, value in known.items()}
        site = self.nodes[at]
        x, _, _, *others = arguments(site)
        layer: Any = site.target
        own[site] = layer(own[x], *parameters, *others)
        self._forget(site, own)
        for node in self.nodes[at + 1 : -1]:
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
