"""Progress of long work: a bar on standard error, only on a terminal, and only once it takes a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from replaykit.cli.render import console
from replaykit.protocols import Advance
from replaykit.storage.compaction import silent

__all__ = ["progress_bar"]

_PATIENCE_S = 0.5


@contextmanager
def progress_bar(what: str, *, clock: Callable[[], float] = time.monotonic) -> Iterator[Advance]:
    """Give the `Advance` that shows how far *what* is; it shows nothing where nobody sees it."""
    out = console(err=True)
    if not out.is_terminal:
        yield silent
        return
    bar = _Bar(out, what, clock)
    try:
        yield bar.advance
    finally:
        bar.stop()


class _Bar:
    """A bar that appears when the work has gone on for a while."""

    def __init__(self, out: Console, what: str, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._shown_from = clock() + _PATIENCE_S
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=out, transient=True)
        self._task = self._progress.add_task(what, total=None)

    def advance(self, done: int, total: int) -> None:
        """Show that *done* of *total* is done."""
        if self._clock() < self._shown_from:
            return
        if not self._progress.live.is_started:
            self._progress.start()
        self._progress.update(self._task, completed=done, total=total)

    def stop(self) -> None:
        """Take the bar away."""
        if self._progress.live.is_started:
            self._progress.stop()
