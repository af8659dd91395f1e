"""Whether an artifact on its runtime is as right as its torch simulation, image by image."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from torch.fx import GraphModule, Interpreter, Node

from ..compress.ops import QUANTIZED
from ..layers import layer_of

Values = dict[str, NDArray[np.float32]]
"""Values of a program by the names of their nodes."""

MOST_POINTS = 0.3
"""How far the two may be apart."""
CHANCE = 0.05
"""Rounding flips the class of a few images either way; it takes less than this chance to be called a drift."""

ALIKE = 0.99
"""Least cosine between a layer's values here and there: rounding alone leaves more."""
LAYERS = {*QUANTIZED, *QUANTIZED.values()}


@dataclass(frozen=True)
class Drift:
    """Top-1 of the runtime minus the simulation's in points, and the chance of such a split among unequal images."""

    points: float
    chance: float

    @property
    def fails(self) -> bool:
        """More than the allowed points, and more than flips either way explain."""
        return abs(self.points) > MOST_POINTS and self.chance < CHANCE


def drift(simulated: NDArray[np.bool_], served: NDArray[np.bool_]) -> Drift:
    """Compare which images each got right; the chance is that of the exact sign test (McNemar)."""
    gained, lost = int((served & ~simulated).sum()), int((simulated & ~served).sum())
    chance = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return Drift(100 * (gained - lost) / len(served), chance)


def layers(module: GraphModule) -> dict[str, str]:
    """The linears and convolutions of a program: the name of each one's value, and the layer that it is."""
    weights = {n.name: n.args[1] for n in module.graph.nodes if n.target in LAYERS}
    return {name: layer_of(str(weight.target)) for name, weight in weights.items() if isinstance(weight, Node)}


def values(module: GraphModule, names: Collection[str], images: NDArray[np.float32]) -> Values:
    """What the program computes under those names."""
    watch = _Values(module, names)
    with torch.inference_mode():
        watch.run(torch.from_numpy(images))
    return watch.seen


def first_divergence(simulated: Values, served: Values) -> str | None:
    """The first value, in the program's order, that is not alike; else the one least alike; None if none is shared."""
    likeness = {name: _cosine(wanted, served[name]) for name, wanted in simulated.items() if name in served}
    unlike = (name for name, cosine in likeness.items() if cosine < ALIKE)
    return next(unlike, None) or min(likeness, key=likeness.__getitem__, default=None)


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    if one.size != other.size:
        return 0.0
    a, b = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), np.finfo(np.float64).tiny))


class _Values(Interpreter):
    """Runs a program and keeps some of its values."""

    def __init__(self, module: GraphModule, names: Collection[str]) -> None:
        super().__init__(module)
        self.names, self.seen = names, dict[str, NDArray[np.float32]]()

    def run_node(self, n: Node) -> Any:
        """The node's result, kept if it is asked for."""
        result = super().run_node(n)
        if n.name in self.names:
            self.seen[n.name] = result.float().numpy()
        return result
