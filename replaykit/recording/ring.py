"""The last actions of a session in RAM: its log until something makes the session worth keeping."""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable
from uuid import UUID

from replaykit.format.records import ACTION, CHECKPOINT, DEFINE, ENTRY, OPEN, PREFIX
from replaykit.protocols import Log

__all__ = ["Ring"]


class Ring:
    """
    A `Log` that holds at most *max_bytes* of records and drops the oldest actions first.

    What it is given is redacted already.  Once it has moved, all that comes
    goes on to the log that it moved to.  Its lock is one that its own thread may take
    again, so a call from a signal handler waits for nothing.

    Attributes:
        dropped: Actions that had to go.
        unwritten: Actions that the log which it moved to refused.
        target: The log that it moved to; None before.
    """

    path = ""

    def __init__(self, session_id: UUID, *, max_bytes: int, align: int = 0) -> None:
        self.dropped = 0
        self.unwritten = 0
        self.target: Log | None = None
        self._session_id = session_id
        self._align = align
        self._max_bytes = max_bytes
        self._lock = threading.RLock()
        self._always: list[bytes] = []
        self._latest: deque[bytes] = deque()
        self._held = 0
        self._defined = 0
        self._appended = 0
        self._is_moving = False
        self._is_closed = False

    @property
    def session_id(self) -> UUID:
        """The session whose log this is."""
        return self._session_id

    @property
    def align(self) -> int:
        """To how many bytes the log that it may move to pads each record."""
        return self._align

    @property
    def size(self) -> int:
        """Bytes appended so far, those that were dropped among them."""
        return self._appended

    def append(self, record: bytes) -> None:
        """
        Hold one whole record, and drop the oldest where there is no room.

        Raises:
            OSError: What every action needs takes all the room, or the log
                that it moved to refuses.
        """
        with self._lock:
            if self.target is not None:
                self.target.append(record)
            elif not self._is_closed:
                self._hold(record, record[PREFIX.size])

    def _hold(self, record: bytes, what: int) -> None:
        if what == OPEN:
            # Of bounded size by itself.
            self._always.append(record)
        elif what == DEFINE:
            self._always.append(self._fitting(record))
        elif what in (ACTION, ENTRY, CHECKPOINT):
            self._latest.append(self._fitting(record))
        else:
            # Notes and the end are written anew by whoever moves it.
            return
        self._appended += len(record)
        while self._held > self._max_bytes and self._latest:
            oldest = self._latest.popleft()
            self._held -= len(oldest)
            self.dropped += oldest[PREFIX.size] != CHECKPOINT

    def _fitting(self, record: bytes) -> bytes:
        """Return *record*, which then counts; one that cannot fit whatever is dropped is refused where it must stay."""
        self._held += len(record)
        if record[PREFIX.size] == DEFINE:
            self._defined += len(record)
            if self._defined > self._max_bytes:
                self._held -= len(record)
                self._defined -= len(record)
                raise OSError(errno.ENOSPC, "keep_bytes= has no room for the names of all recorded functions")
        return record

    def move(self, begin: Callable[[], Log]) -> bool:
        """
        Write all that is held into the log that *begin* makes; False if that was done, or it is too late.

        Raises:
            OSError, StorageError: The log cannot be made, and everything is
                as before; or it cannot be written, and what is held is gone.
        """
        with self._lock:
            if self.target is not None or self._is_moving or self._is_closed:
                return False
            self._is_moving = True
            try:
                log = begin()
            except BaseException:
                self._is_moving = False
                raise
            try:
                for record in self._always:
                    log.append(record)
            finally:
                self.target = log
                # A call of this thread, from a signal handler, may have come in between.
                self._write_out(log)
            return True

    def _write_out(self, log: Log) -> None:
        try:
            while self._latest:
                log.append(self._latest.popleft())
        except OSError:
            self.unwritten += len(self._latest)
            self._latest.clear()
            raise

    def give_up(self) -> bool:
        """Drop everything and take no more; False if it has moved: then it stays."""
        with self._lock:
            if self.target is not None:
                return False
            self._is_closed = True
            self._always.clear()
            self._latest.clear()
            return True

    # -- what else a log has: nothing of it is on a device ------------------------

    def append_end(self, record: bytes) -> None:
        """
        Pass the last record on if it has moved; else nothing is held of it.

        Raises:
            OSError: The log that it moved to refuses.
        """
        with self._lock:
            if self.target is not None:
                self.target.append_end(record)

    def read(self, offset: int, size: int) -> bytes:
        """Return nothing: what is held is read once it has moved."""
        return b""

    def sync(self) -> None:
        """There is nothing to sync, or what it moved to is to be."""
        if self.target is not None:
            self.target.sync()

    def allocate_ahead(self) -> None:
        """There is no device."""

    def has_writer(self) -> bool:
        """This process."""
        return True

    def claim(self) -> bool:
        """It is ours."""
        return True

    def remove(self) -> None:
        """Drop everything."""
        self.give_up()

    def close(self) -> None:
        """Drop everything."""
        self.give_up()
