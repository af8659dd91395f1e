"""Any number of images through a session, whatever batch its artifact is fixed at."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from . import Session


def shape(session: "Session", batch: int) -> tuple[int, ...]:
    """That of a batch which the session takes: of `batch` images where its artifact leaves that free."""
    fixed, *sizes = session.input_shape
    return (fixed or batch, *(size or 1 for size in sizes))


def answers(session: "Session", images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logits of all images; the last batch of a fixed size is filled up with blanks, whose answers are dropped."""
    size = session.input_shape[0]
    if size is None or size == len(images):
        return session.run(images)
    blanks = np.zeros((-len(images) % size, *images.shape[1:]), dtype=np.float32)
    filled = np.concatenate([images, blanks])
    logits = [session.run(filled[start : start + size]) for start in range(0, len(filled), size)]
    return np.concatenate(logits)[: len(images)]
