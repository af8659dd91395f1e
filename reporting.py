"""Runs as a page and as a table: what the reports are given is read from the run folders alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .atomic import replacing
from .errors import UserError
from .reports import table
from .reports.chart import AXES
from .reports.drawing import png, svg
from .reports.page import Changed, Run, page
from .reports.points import points
from .reports.related import float_of
from .runs import CLASSES, IMAGES, LABELS
from .runs import Run as Folder

MOST_CHANGED = 100
"""Images whose class changed that a page lists."""


@dataclass(frozen=True)
class Wanted:
    """The files to write: the page, the table, and the chart over one axis."""

    page: Path
    csv: Path | None = None
    svg: Path | None = None
    png: Path | None = None
    axis: str = "latency"

    def __post_init__(self) -> None:
        if self.axis not in AXES:
            raise UserError(f"no chart is over {self.axis!r}; allowed: {', '.join(AXES)}")


def write(runs: Sequence[Run], wanted: Wanted) -> list[Path]:
    """Write what is wanted, all of it or, where a file cannot be made, nothing; what was written."""
    chart = svg([point for run in runs for point in points(run.name, run.record)], wanted.axis)
    made = [
        (wanted.page, page(runs).encode()),
        (wanted.csv, table.csv({run.name: run.record for run in runs}).encode()),
        (wanted.svg, chart.encode()),
        (wanted.png, png(chart) if wanted.png else b""),
    ]
    written = [(path, content) for path, content in made if path]
    for path, content in written:
        with replacing(path) as partial:
            partial.write_bytes(content)
    return [path for path, _ in written]


def read(folders: Sequence[Path]) -> list[Run]:
    """The runs, by the shortest ends of their paths that tell them apart."""
    names = _names(folders)
    return [_run(name, Folder(folder)) for name, folder in zip(names, folders, strict=True)]


def _names(folders: Sequence[Path]) -> list[str]:
    paths = [folder.resolve() for folder in folders]
    for index, path in enumerate(paths):
        if path in paths[:index]:
            raise UserError(f"{folders[index]} is named twice; name each run once")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in paths]


def _run(name: str, folder: Folder) -> Run:
    """A run, with the images that its first result classifies otherwise than the float model does."""
    for one in folder.asked().values():
        beside = float_of(folder.record, one)
        ours, theirs = folder.answers_of(one), folder.answers_of(beside) if beside else None
        if ours is not None and theirs is not None:
            changed = np.flatnonzero(ours[:, 0] != theirs[:, 0])[:MOST_CHANGED]
            images, labels = folder.answers[IMAGES], folder.answers[LABELS]
            rows = [(labels[at], theirs[at, 0], ours[at, 0]) for at in changed]
            listed = [
                Changed(str(images[at]), *(_called(folder, number) for number in row))
                for at, row in zip(changed, rows, strict=True)
            ]
            return Run(name, folder.record, listed, f"{one.artifact} on {one.runtime}")
    return Run(name, folder.record)


def _called(folder: Folder, number: int) -> str:
    """A class by its number, and by its name where somebody gave it one."""
    classes = folder.answers.get(CLASSES, ())
    return f"{number} {classes[number]}" if number < len(classes) else str(number)
