"""Stages as a run goes through them: told on the console, kept in the journal, timed for the record."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .journal import Journal
from .progress import Advance, Progress
from .reports.record import Stage
from .runtimes import memory

Work = Callable[[Advance], dict[str, Any]]


class Stages:
    """The stages of one run, in order; `versions` are part of what every result depends on."""

    def __init__(self, journal: Journal, progress: Progress, versions: Mapping[str, str]) -> None:
        self._journal, self._progress, self._versions = journal, progress, dict(versions)
        self.done: list[Stage] = []

    def workplace(self, name: str, inputs: Mapping[str, Any]) -> Path:
        """Where a stage on these inputs keeps what it goes on from."""
        return self._journal.workplace(name, {**inputs, "versions": self._versions})

    def tidy(self, name: str) -> None:
        """Remove what a stage that is done went on from."""
        self._journal.tidy(name)

    def do(
        self, name: str, inputs: Mapping[str, Any], outputs: Sequence[Path], work: Work, total: int | None = None
    ) -> dict[str, Any]:
        """The stage's result, worked out now or by an earlier run on the same inputs; `total` is for its bar."""

        def timed() -> dict[str, Any]:
            since, start = memory.reset(), time.monotonic()
            result = work(advance)
            return {**result, "seconds": round(time.monotonic() - start, 3), "peak_rss_mb": memory.own_peak_mb(since)}

        with self._progress.step(name, total) as advance:
            finished = self._journal.stage(name, {**inputs, "versions": self._versions}, outputs, timed)
        if finished.reused:
            self._progress.note(f"{name}: reused from an earlier run")
        self.done.append(_row(name, finished.result))
        return finished.result


def _row(name: str, result: Mapping[str, Any]) -> Stage:
    """What the record keeps of a stage; a stage need not have every figure."""
    return Stage(
        name=name,
        seconds=result["seconds"],
        peak_rss_mb=result["peak_rss_mb"],
        params=result.get("params"),
        macs=result.get("macs"),
        top1=result.get("top1"),
        images=result.get("images", 0),
        notes=tuple(result.get("notes", ())),
    )
