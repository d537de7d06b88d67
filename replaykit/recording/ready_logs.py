"""
Live logs that were made before their sessions begin.

To create a file takes as long as all else of beginning a session, and on a
busy disk many times that.  Where sessions follow each other, as in a service
that records each request, the background makes the files of the next ones.
Each is an empty log with a writer: a session of which nothing is written yet,
to others; what is left of it after a crash is removed by the recovery.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from uuid import uuid4

from replaykit.errors import ReplaykitError
from replaykit.protocols import Log, Store

__all__ = ["ReadyLogs"]

_OFTEN_SECONDS = 1.0
"""Sessions that begin within this time of each other are followed by more."""

_KEPT_SECONDS = 5.0
"""Once no session has begun for this long they go."""

_MOST = 3
"""So many lie ready: one session may begin and end while another is being published."""


class ReadyLogs:
    """The logs of the next sessions of one store; `take` never waits."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ready: deque[Log] = deque()
        self._making = threading.RLock()
        self._latest = float("-inf")
        self._is_often = False

    def note_opened(self) -> None:
        """Note that a session began."""
        now = time.monotonic()
        self._is_often = now - self._latest < _OFTEN_SECONDS
        self._latest = now

    def take(self) -> Log | None:
        """
        Return a log that is the caller's from now on, None where there is none or the store is full.

        Raises:
            StorageError: How full it is cannot be told.
        """
        try:
            log = self._ready.pop()
        except IndexError:
            return None
        is_wanted = False
        try:
            is_wanted = not self._store.is_full()
        finally:
            if not is_wanted:
                _remove(log)
        return log if is_wanted else None

    def prepare(self) -> None:
        """Make logs that will be wanted soon, and let go of those that were not; for the background only."""
        unused_for = time.monotonic() - self._latest
        if unused_for >= _KEPT_SECONDS:
            self.drop()
        elif self._is_often and unused_for < _OFTEN_SECONDS:
            self._fill()

    def _fill(self) -> None:
        # Whoever opens the next session makes its log then, and is told why not.
        with suppress(ReplaykitError, OSError), self._making:
            while len(self._ready) < _MOST:
                self._ready.append(self._store.create_log(uuid4()))

    def drop(self) -> None:
        """Remove what nobody has taken; once the store is closed, for good."""
        with self._making:
            while self._ready:
                _remove(self._ready.pop())

    def abandon(self) -> None:
        """Leave it to the parent: this is a forked child."""
        while self._ready:
            getattr(self._ready.pop(), "abandon", lambda: None)()


def _remove(log: Log) -> None:
    with suppress(ReplaykitError, OSError):
        log.remove()
