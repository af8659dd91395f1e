"""Whether an artifact, loaded back, still answers as the torch program it was made from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import GraphModule, Interpreter, Node

from ..compress.ops import QUANTIZED
from ..errors import VerificationFailed
from ..models.backbone import FLOAT, Backbone

LEAST_AGREEMENT = 0.95
"""Share of images on which an artifact that rounds or chooses must give the simulation's class.

Integer rounding amplifies the last bits in which two runtimes differ, so equal answers are asked for, not equal logits.
"""
FLOAT_TOLERANCE = 1e-3
"""Largest error of a float artifact, relative to the largest output."""
LEAST_COSINE = 0.999
"""Of a float artifact on a target that computes floats in 16 bits."""
NOISE = {True: 2.0**-22, False: 2.0**-11}
"""Relative, on the result of every product, under which a simulation is held against itself: about what engines with
exact floats, and those with floats of 16 bits, differ by from one operator to the next. On the images it would say
nothing: their rounding to 8 bits swallows it."""

CHOICE = torch.ops.aten.topk.default


@dataclass(frozen=True)
class ParityResult:
    """How far two sets of logits are apart, over `images` images."""

    max_abs: float
    cosine: float
    top1_agree: float
    """Share of the images that get one class from both; logits that are not finite say no class."""
    images: int
    scale: float
    """The largest magnitude of the reference."""


def compare(reference: NDArray[np.float32], logits: NDArray[np.float32]) -> ParityResult:
    """Hold an artifact's logits against the simulation's."""
    if reference.shape != logits.shape:
        raise VerificationFailed(f"the artifact gives logits {logits.shape} where torch gives {reference.shape}")
    one, other = reference.astype(np.float64), logits.astype(np.float64)
    finite = np.isfinite(one).all(1) & np.isfinite(other).all(1)
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return ParityResult(
        max_abs=float(np.abs(one - other).max()),
        cosine=float(((one * other).sum(1) / np.maximum(norms, np.finfo(np.float64).tiny)).mean()),
        top1_agree=float(((one.argmax(1) == other.argmax(1)) & finite).mean()),
        images=len(reference),
        scale=float(np.abs(one).max()),
    )


def shaken(program: GraphModule, images: NDArray[np.float32], *, exact_floats: bool) -> NDArray[np.float32]:
    """The logits of a program under that noise: the same one every time."""
    with torch.inference_mode():
        logits: NDArray[np.float32] = (
            _Shaken(program, NOISE[exact_floats]).run(torch.from_numpy(images)).float().numpy()
        )
    return logits


def is_smooth(backbone: Backbone) -> bool:
    """Whether close values give close answers: not where they are rounded to codes, or some tokens are chosen."""
    module = backbone.module
    chosen = isinstance(module, GraphModule) and module.graph.find_nodes(op="call_function", target=CHOICE)
    return backbone.precision == FLOAT and not chosen


def complaint(parity: ParityResult, *, smooth: bool, exact_floats: bool = True, own: float = 1.0) -> str | None:
    """What is wrong with the artifact, or None; not every target computes its floats in 32 bits.

    `own` is how often the simulation agrees with itself under noise. With 4 bits, or untrained, that is not always, and
    twice as much is taken off what is asked for.
    """
    if smooth and not exact_floats:
        if not parity.cosine >= LEAST_COSINE:
            return f"answers with a cosine of {parity.cosine:.4f} to torch's logits"
    elif smooth:
        if not parity.max_abs <= FLOAT_TOLERANCE * parity.scale:
            return f"differs from torch by {parity.max_abs:.2g} where outputs reach {parity.scale:.2g}"
    elif not parity.top1_agree >= LEAST_AGREEMENT - 2 * (1 - own):
        itself = f"; under noise the simulation agrees with itself on {own:.1%}" if own < 1 else ""
        return f"gives the simulation's class on {parity.top1_agree:.1%} of {parity.images} images only{itself}"
    return None


class _Shaken(Interpreter):
    """Runs a program and adds noise to the result of every quantized product; of every one, where none is quantized."""

    def __init__(self, program: GraphModule, noise: float) -> None:
        super().__init__(program)
        self.noise, self.random = noise, torch.Generator().manual_seed(0)
        rounded = {node.target for node in program.graph.nodes} & set(QUANTIZED.values())
        self.products = rounded or set(QUANTIZED)

    def run_node(self, n: Node) -> Any:
        """The node's result, noisy if it is a product's."""
        result = super().run_node(n)
        if n.target in self.products:
            result = result * (1 + self.noise * torch.randn(result.shape, generator=self.random))
        return result
