"""One walk through a program, computed as it is when every layer behind is rounded already; and exactly, if asked to.

The images go through node by node, all together, so that each layer's weights can be chosen when its inputs are known
and no layer behind needs to be run again. Only what is still to be read is kept.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from .binary_softmax import BINARY, exactly
from .graph import attribute
from .logarithmic import LOGARITHM
from .ops import ROUNDING

ROUNDS = (*ROUNDING, LOGARITHM)
"""What the exact program does not do."""
EXACT: Mapping[object, Callable[..., Any]] = {BINARY: exactly}
"""What it does instead of what stands for something else."""

Values = list[Any]
"""What a node gives, one value a batch."""

Known = dict[Node, Values]

Visit = Callable[[Node], object]


class Walk:
    """The state of a walk: what nodes gave, rounded and exactly; one list for both where nothing differs yet."""

    def __init__(self, program: GraphModule, batches: Sequence[Tensor], *, exactly: bool = False) -> None:
        self.program, self.batches, self.exactly = program, batches, exactly
        self.exact: Known = {}
        self.rounded: Known = {}
        self.instead: dict[Node, Callable[..., Any]] = {}
        """What the rounded program does at a node, where that is not what the node says."""

    def run(self, before: Visit, after: Visit) -> None:
        """Compute every node; `before` finds what it reads, `after` what it gives."""
        done = last_read(self.program)
        with torch.no_grad():
            for node in self.program.graph.nodes:
                if node.op == "output":
                    break
                before(node)
                self.compute(node)
                after(node)
                for read in done.get(node, ()):
                    self.exact.pop(read, None)
                    self.rounded.pop(read, None)

    def rounded_of(self, node: Node) -> Values:
        """What a node gave, or holds, in the rounded program."""
        return self._constant(node) if node.op == "get_attr" else self.rounded[node]

    def _constant(self, node: Node) -> Values:
        return [attribute(self.program, node)] * len(self.batches)

    def compute(self, node: Node) -> None:
        """What a node gives."""
        if self.exactly and node.target in ROUNDS:
            self.exact[node] = self.exact[node.all_input_nodes[0]]  # the exact program does not round
        elif self.exactly:
            self.exact[node] = self._values(node, self.exact, EXACT.get(node.target))
        changed = not self.exactly or node.target in (*ROUNDS, *EXACT) or node in self.instead
        if changed or any(self.rounded[read] is not self.exact[read] for read in node.all_input_nodes):
            self.rounded[node] = self._values(node, self.rounded, self.instead.get(node))
        else:
            self.rounded[node] = self.exact[node]

    def _values(self, node: Node, known: Known, instead: Callable[..., Any] | None) -> Values:
        places = range(len(self.batches))
        if node.op == "placeholder":
            return list(self.batches)
        if node.op == "get_attr":
            return self._constant(node)
        return [evaluate(node, {read: known[read][at] for read in node.all_input_nodes}, instead) for at in places]


def evaluate(node: Node, known: Mapping[Node, Any], instead: Callable[..., Any] | None = None) -> Any:
    """What a call gives, from what its arguments gave."""
    args, kwargs = map_arg((node.args, dict(node.kwargs)), lambda read: known[read])
    target: Any = instead or node.target
    return target(*args, **kwargs)


def last_read(program: GraphModule) -> dict[Node, list[Node]]:
    """For each node, what is read for the last time by it; a value that nobody reads is done with at once."""
    place = {node: at for at, node in enumerate(program.graph.nodes)}
    done: dict[Node, list[Node]] = {}
    for node in place:
        # What is rounded is still of interest to those who read it rounded.
        readers = [reader for user in node.users for reader in (user, *(user.users if user.target in ROUNDS else ()))]
        done.setdefault(max(readers, key=place.__getitem__, default=node), []).append(node)
    return done
