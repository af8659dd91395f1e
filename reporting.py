"""Runs as a page and as a table: what the reports are given is read from the run folders alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .errors import UserError
from .reports.page import Changed, Run
from .reports.record import float_of
from .runs import IMAGES, LABELS
from .runs import Run as Folder

MOST_CHANGED = 100
"""Images whose class changed that a page lists."""


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
            rows = (map(str, (images[at], labels[at], theirs[at, 0], ours[at, 0])) for at in changed)
            return Run(name, folder.record, [Changed(*row) for row in rows], f"{one.artifact} on {one.runtime}")
    return Run(name, folder.record)
