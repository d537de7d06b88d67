"""One lock per store object, which a forked child finds free."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager

__all__ = ["Guard"]


class Guard:
    """
    Has a re-entrant lock and knows in which process it was made.

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

    # Handed out rather than wrapped: an interrupt may come at the first step
    # of an ``__exit__`` in Python, and the lock would stay held.
    @property
    def lock(self) -> AbstractContextManager[object]:
        """The lock, to be taken at once: ``with guard.lock:``."""
        if os.getpid() != self._lock_pid:
            # Only the forking thread lives on in a child: nobody races here.
            self._lock_pid = os.getpid()
            self._lock = threading.RLock()
        return self._lock
