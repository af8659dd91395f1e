"""How long a backbone takes on the engine that will serve it, lent to techniques that have to meet a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from .bench import noise
from .compress.aids import Clock
from .export import TARGETS
from .models.backbone import Backbone
from .recipe import Recipe
from .runtimes import RUNTIMES, latency
from .runtimes.machine import cores

PLAN = latency.Plan(warmup_seconds=1.0, rounds=24, seconds=6.0)
"""Shorter than a run's own measurement: a search asks a dozen times."""


def engine(recipe: Recipe) -> tuple[str, str] | None:
    """The first target of a run, and the engine that times it; None where none of its engines runs here."""
    pairs = ((target, name) for target in recipe.export for name in recipe.runtimes_of(target))
    return next((pair for pair in pairs if RUNTIMES[pair[1]].timed and not RUNTIMES[pair[1]].missing()), None)


@contextmanager
def lent(recipe: Recipe, untouched: Backbone) -> Iterator[Clock | None]:
    """The clock of a run: times as shares of the untouched backbone's, both measured in one session, in turns."""
    found = engine(recipe)
    if found is None:
        yield None
        return
    target, runtime = found
    with TemporaryDirectory() as folder:

        def write(backbone: Backbone, name: str) -> Path:
            return TARGETS[target].write(backbone, Path(folder) / name, recipe.options).path

        whole: list[Path] = []

        def clock(backbone: Backbone) -> float:
            whole[:] = whole or [write(untouched, "whole")]
            return share(recipe, runtime, whole[0], write(backbone, "narrow"))

        yield clock


def share(recipe: Recipe, runtime: str, whole: Path, narrow: Path) -> float:
    """The time of one file as a share of another's."""
    threads, open_ = recipe.threads or cores(), RUNTIMES[runtime].open
    with open_(whole, threads) as first, open_(narrow, threads) as second:
        images = noise(first, recipe.batch, recipe.seed)
        calls = {"whole": partial(first.run, images), "narrow": partial(second.run, images)}
        samples = latency.measure(calls, PLAN)
    return float(np.median(undisturbed(samples["narrow"]) / undisturbed(samples["whole"])))


def undisturbed(samples: latency.Samples) -> NDArray[np.float64]:
    """For every round a time that one run in ten keeps below.

    On a busy machine, longer runs are interrupted more than their share; a median tells of that, and not of the model.
    """
    return np.percentile(samples.nanoseconds, 10, axis=1)
