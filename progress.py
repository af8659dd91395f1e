"""What a run says while it works: bars on a terminal, one line a finished step elsewhere, nothing when quiet."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

Advance = Callable[[int], None]


class Progress:
    """Tells of steps on one console; a step may have steps inside."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(quiet=True)
        self._bars: Bars | None = None

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Advance]:
        """A step under way; call what it yields with how much more is done."""
        started = time.monotonic()
        if not self._console.is_interactive or self._console.quiet:
            yield lambda _count: None
        else:
            with self._display() as bars:
                task = bars.add_task(title, total=total)
                yield lambda count: bars.advance(task, count)
        self.note(f"{title}: {time.monotonic() - started:.1f} s")

    def note(self, text: str) -> None:
        """One line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def _display(self) -> Iterator[Bars]:
        """The bars on the console, which may show one set of them at a time: inner steps join the outer one's."""
        if self._bars:
            yield self._bars
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        try:
            with Bars(*columns, TimeElapsedColumn(), console=self._console, transient=True) as self._bars:
                yield self._bars
        finally:
            self._bars = None
