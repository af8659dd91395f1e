"""What an artifact is fed when it is timed: noise for floats, ones for whole numbers, which are valid almost anywhere.

How fast a dense network runs does not depend on what it sees. The rule for axes that a file leaves free: the first one
of an input is the batch, and so is every other with the same symbol; any other must be said, as in `tokens=1x128`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .batching import shape
from .ort import Input, OrtSession

if TYPE_CHECKING:
    from . import Session

Shapes = Mapping[str, Sequence[int]]
TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    **{f"tensor({kind}{bits})": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    "tensor(bool)": "bool",
}
"""What can be made up here: types by what onnxruntime calls them."""


@dataclass(frozen=True)
class Fed:
    """A call that is ready to be timed, and the shape of its first input."""

    call: Callable[[], object]
    shape: tuple[int, ...]
    arrays: Any
    """All that is fed: images, or arrays by the names of the inputs."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Their names, where they have some."""
        return tuple(self.arrays) if isinstance(self.arrays, dict) else ()

    @property
    def batch(self) -> int:
        """Images an inference."""
        return self.shape[0] if self.shape else 1


def fed(session: "Session", batch: int, seed: int, shapes: Shapes) -> Fed:
    """The session with something to run; `shapes` says those of inputs by name."""
    random = np.random.default_rng(seed)
    if isinstance(session, OrtSession):
        arrays = {one.name: _made(one, _sizes(one, batch, shapes), random) for one in session.inputs}
        first = next(iter(arrays.values()), np.zeros(()))
        return Fed(lambda: session.run_all(arrays), first.shape, arrays)
    images = noise(session, batch, seed)
    return Fed(lambda: session.run(images), images.shape, images)


def noise(session: "Session", batch: int, seed: int) -> NDArray[np.float32]:
    """Images of noise."""
    return np.random.default_rng(seed).standard_normal(shape(session, batch), dtype=np.float32)


def _sizes(one: Input, batch: int, shapes: Shapes) -> tuple[int, ...]:
    if one.name in shapes:
        said = tuple(shapes[one.name])
        fits = len(said) == len(one.sizes) and all(
            size == wanted or not isinstance(wanted, int) for size, wanted in zip(said, one.sizes, strict=True)
        )
        if not fits:
            raise UserError(f"input {one.name} is of shape {one}, not {'x'.join(map(str, said))}; give one that fits")
        return said
    lead = one.sizes[0] if one.sizes else None
    free = [size for size in one.sizes[1:] if not isinstance(size, int) and (size is None or size != lead)]
    if free:
        example = "x".join(str(size) if isinstance(size, int) else "N" for size in (batch, *one.sizes[1:]))
        raise UserError(
            f"input {one.name} is of shape {one}, which leaves sizes free; say --shape {one.name}={example}"
        )
    return tuple(size if isinstance(size, int) else batch for size in one.sizes)


def _made(one: Input, sizes: tuple[int, ...], random: np.random.Generator) -> NDArray[Any]:
    if one.kind not in TYPES:
        raise UserError(f"input {one.name} is a {one.kind}, which cannot be made up; allowed: {', '.join(TYPES)}")
    kind = np.dtype(TYPES[one.kind])
    return random.standard_normal(sizes).astype(kind) if kind.kind == "f" else np.ones(sizes, kind)
