"""What a process does that serves an artifact and nothing else: its memory is measured."""

from pathlib import Path

import numpy as np

from . import RUNTIMES
from .batching import shape

RUNS = 5


def serve(runtime: str, path: str, threads: int | None, batch: int) -> None:
    """Load an artifact and run it a few times."""
    with RUNTIMES[runtime].open(Path(path), threads) as session:
        images = np.zeros(shape(session, batch), dtype=np.float32)
        for _ in range(RUNS):
            session.run(images)
