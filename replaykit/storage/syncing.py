"""One sync of a file for all threads that ask for one, and none after it has failed."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable

__all__ = ["SharedSync", "means_no_handles"]


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
        # Re-entrant, since a signal handler may record in the midst of this:
        # it cannot wait for its own thread's sync and does one of its own.
        self._turn = threading.RLock()
        self._synced = 0
        self.failure: OSError | None = None

    def through(self, size: int) -> None:
        """
        Return when the first *size* bytes are on the device.

        Raises:
            OSError: A sync failed, now or earlier; or nothing was synced, since no file can be opened now.
        """
        # Whoever waits here has written already, so the first of them to get
        # its turn syncs for all.
        with self._turn:
            self._demand_healthy()
            if self._synced < size:
                self._sync_all()

    def _sync_all(self) -> None:
        covered = self._size()
        try:
            self._sync()
        except OSError as error:
            if not means_no_handles(error):
                self.failure = error
            raise
        self._synced = max(self._synced, covered)

    def _demand_healthy(self) -> None:
        if self.failure is not None:
            raise OSError(self.failure.errno, f"an earlier sync failed: {self.failure.strerror}") from self.failure


def means_no_handles(error: OSError) -> bool:
    """Return whether *error* says that for the moment no file can be opened, here or on this machine."""
    return error.errno in (errno.EMFILE, errno.ENFILE)
