"""Files and folders that are whole or not there: written under a temporary name, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".partial"
"""How a name ends while its content is being written; nothing reads such names, the next run removes them."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it when the block ends well and removed when it does not.

    A failure of the system that names no file, as that of a full disk, is given the name.
    """
    partial = path.with_name(path.name + SUFFIX)
    remove(partial)
    try:
        yield partial
        _flush(partial)
        if partial.is_dir():
            remove(path)  # a folder is renamed only to a name that is free
        partial.replace(path)
    except OSError as failure:
        if failure.errno and failure.filename is None:
            failure.filename = str(path)
        raise
    finally:
        remove(partial)


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_partials(folder: Path) -> None:
    """Remove what killed runs left under temporary names."""
    for partial in sorted(folder.rglob("*" + SUFFIX)):
        remove(partial)


def _flush(path: Path) -> None:
    """Have the content on disk before the name points at it."""
    for file in [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
