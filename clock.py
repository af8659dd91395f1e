"""How long a backbone takes on the engine that will serve it, lent to techniques that have to meet a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from .bench import Bench, Subject
from .compress.aids import Clock
from .errors import VerificationFailed
from .export import TARGETS
from .models.backbone import Backbone
from .progress import Progress
from .recipe import Recipe
from .runtimes import RUNTIMES
from .runtimes.machine import cores

SECONDS = 10.0
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
    bench = Bench(recipe.threads or cores(), recipe.batch, recipe.seed, SECONDS)
    subjects = [Subject(name, path, runtime, "whole") for name, path in (("whole", whole), ("narrow", narrow))]
    _, found = bench.measure(subjects, Progress())
    if found["speedup"] is None:
        raise VerificationFailed(f"{runtime} does not time the pruned model: {found['note'] or 'the whole one fails'}")
    return 1 / float(found["speedup"]["ratio"])
