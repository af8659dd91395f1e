"""Neurons of a perceptron: rows of one layer, columns of the one that reads it."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.fx import GraphModule, Node

from ...models.data import Batches
from ..parameters import bias_of, set_bias, set_weight, weight_of
from .elimination import Elimination, eliminate
from .hidden import observe_hidden
from .pairs import Pair
from .trials import Parameters


@dataclass(frozen=True)
class Neurons:
    """A way down for one pair of layers."""

    pair: Pair
    way: Elimination

    @property
    def site(self) -> Node:
        """Where it can be tried: the layer that reads."""
        return self.pair.reader

    @property
    def losses(self) -> Tensor:
        """What each removal is predicted to cost."""
        return self.way.losses

    def refitted(self, program: GraphModule, count: int) -> Parameters:
        """The reader's parameters when `count` neurons give nothing any more."""
        was = weight_of(program, self.site)
        weight, shift = self.way.refitted(count)
        return weight.view_as(was).float(), (bias_of(program, self.site) + shift).float()

    def narrow(self, program: GraphModule, count: int) -> None:
        """Take the first `count` neurons out, in place."""
        kept = self.way.kept(count)
        weight, shift = self.way.refitted(count)
        was, bias = weight_of(program, self.site), bias_of(program, self.site)
        set_bias(program, self.site, bias + shift)
        set_weight(program, self.site, weight[:, kept].view(len(was), len(kept), *was.shape[2:]))
        writer = self.pair.writer
        was, bias = weight_of(program, writer), bias_of(program, writer)
        set_bias(program, writer, bias[kept])
        set_weight(program, writer, was[kept])


def ways(program: GraphModule, pairs: Sequence[Pair], most: Sequence[int], batches: Batches) -> list[Neurons]:
    """A way down for each pair, by at most so many neurons."""
    hidden = observe_hidden(program, pairs, batches)
    return [
        Neurons(pair, eliminate(known, weight_of(program, pair.reader).flatten(1), number))
        for pair, known, number in zip(pairs, hidden, most, strict=True)
    ]
