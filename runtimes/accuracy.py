"""What a model answers, image by image, and how often that is right."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import VerificationFailed

TOP = 5


@dataclass(frozen=True, eq=False)
class Predictions:
    """The classes of every image from the likeliest on, [images, 5], or as many as there are classes."""

    top5: NDArray[np.int64]


def predict(
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    batches: Iterable[ArrayLike],
    progress: Callable[[int], object] | None = None,
) -> Predictions:
    """Run every batch of images; `progress` is told how many images each had."""
    tops = [np.empty((0, TOP), dtype=np.int64)]
    broken: list[int] = []
    seen = 0
    for batch in batches:
        images = np.ascontiguousarray(batch, dtype=np.float32)
        logits = np.asarray(run(images))
        if logits.ndim != 2 or len(logits) != len(images):
            raise VerificationFailed(f"{len(images)} images gave an output of shape {logits.shape}, not one row each")
        broken += [seen + int(index) for index in np.flatnonzero(~np.isfinite(logits).all(axis=1))]
        tops.append(ranking(logits))
        seen += len(images)
        if progress:
            progress(len(images))
    if broken:
        raise VerificationFailed(
            f"{len(broken)} of {seen} images gave logits that are not finite, the first is image {broken[0]} "
            "(counted from 0): leave the layer that overflows in float, or calibrate on images like it"
        )
    return Predictions(np.concatenate(tops[1:] or tops))


def ranking(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """The five classes with the highest logits; of equal ones the lowest class comes first, on every machine."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :TOP].astype(np.int64)


def top_k(predictions: Predictions, labels: ArrayLike, k: int) -> float:
    """Percent of the images whose label is among the first k classes."""
    truth = np.asarray(labels)
    if truth.shape != (len(predictions.top5),) or not truth.size:
        raise ValueError(f"{len(predictions.top5)} predictions cannot be scored against labels of shape {truth.shape}")
    if not 1 <= k <= TOP:
        raise ValueError(f"k = {k}: {TOP} classes an image are kept")
    return float(100 * (predictions.top5[:, :k] == truth[:, None]).any(axis=1).mean())
