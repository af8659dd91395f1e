"""coremltools, imported where it is needed and without its remarks.

It tells of native parts that only a Mac has, of a torch newer than it was tested with, and of its progress. None of
that is for the user: what fails is said by whoever called it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from io import StringIO
from typing import Any

from ..errors import NotAvailable


def missing() -> str | None:
    """Why packages can be neither written nor read here."""
    return None if find_spec("coremltools") else "coremltools is not installed: pip install coremltools"


def library() -> Any:
    """The module, or one line on how to get it."""
    if problem := missing():
        raise NotAvailable(problem)
    with quiet():
        import coremltools
    return coremltools


@contextmanager
def quiet() -> Iterator[None]:
    """A block in which coremltools neither logs nor draws bars."""
    logger = logging.getLogger("coremltools")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with redirect_stderr(StringIO()):
            yield
    finally:
        logger.setLevel(level)
