"""One sync of a file for all threads that ask for one, and none after it has failed."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["SharedSync"]


class SharedSync:
    """
    Syncs on behalf of whoever asks at the same time.

    *sync* is the system's; *size* tells how many bytes are written.  After a
    sync has failed no other is asked for: the system reports such a failure
    once and may then call the lost pages clean.
    """

    def __init__(self, sync: Callable[[], None], size: Callable[[], int]) -> None:
        self._sync = sync
        self._size = size
        # Re-entrant, since a signal handler may record in the midst of this.
        self._turn = threading.Condition(threading.RLock())
        self._leader: int | None = None
        self._synced = 0
        self.failure: OSError | None = None

    def through(self, size: int) -> None:
        """
        Return when the first *size* bytes are on the device.

        Raises:
            OSError: A sync failed, now or earlier.
        """
        me = threading.get_ident()
        with self._turn:
            while self.failure is None and self._synced < size and self._leader not in (None, me):
                self._turn.wait()
            self._demand_healthy()
            if self._synced >= size:
                return
            # A signal handler that interrupts its own thread's sync cannot
            # wait for it: it does one of its own.
            outer, self._leader = self._leader, me
        try:
            self._lead()
        finally:
            with self._turn:
                self._leader = outer
                self._turn.notify_all()

    def _lead(self) -> None:
        covered = self._size()
        try:
            self._sync()
        except OSError as error:
            self.failure = error
            raise
        self._synced = max(self._synced, covered)

    def _demand_healthy(self) -> None:
        if self.failure is not None:
            raise OSError(self.failure.errno, f"an earlier sync failed: {self.failure.strerror}") from self.failure
