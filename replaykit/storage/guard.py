"""One lock per store object, which a forked child finds free."""

from __future__ import annotations

import os
import threading
from types import TracebackType

__all__ = ["Guard"]


class Guard:
    """
    A re-entrant lock that knows in which process it was made.

    A child starts with a fresh one: another thread's hold on it at the
    moment of the fork means nothing there.
    """

    def __init__(self) -> None:
        self.pid = self._lock_pid = os.getpid()
        self._lock = threading.RLock()

    def adopt(self) -> None:
        """Belong to this process from now on; its holder calls this in a child."""
        self.pid = os.getpid()

    @property
    def forked(self) -> bool:
        """Whether this process is a child of the one that the guard belongs to."""
        return os.getpid() != self.pid

    def __enter__(self) -> None:
        if os.getpid() != self._lock_pid:
            # Only the forking thread lives on in a child: nobody races here.
            self._lock_pid = os.getpid()
            self._lock = threading.RLock()
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()
