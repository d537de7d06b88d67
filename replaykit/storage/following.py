"""
Follows a session that somebody else records: its actions, as they end.

The live log alone tells all of a session since it was opened or resumed,
whether parts of it are published meanwhile or not, and a log that is open
stays readable after its writer has removed it.  So each step reads what was
appended since the last one and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from uuid import UUID

from replaykit.errors import SessionNotFoundError
from replaykit.format.actions import action_from_entry
from replaykit.format.entries import Entry
from replaykit.model import ReplayAction
from replaykit.pipeline import entry_of
from replaykit.protocols import Log, Store, StoredSession
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.live_log import Item, LogReader, read_opening

__all__ = ["Follower", "follow", "newest_open"]

_OPEN = "open"

_Found = Callable[[], Entry]
"""An action that is decoded when it is shown: most of a long session never is."""


class Follower:
    """
    The actions of one session in the order in which they end.

    The first `step` returns the last *last* of those that ended before it,
    each later one what ended since.  ``state`` is ``open`` until the step
    that saw the end, then ``sealed`` or ``interrupted``.

    Raises:
        SessionNotFoundError: There is no such session.
    """

    def __init__(self, store: Store, session_id: UUID, *, last: int = 10) -> None:
        self._store = store
        self._last = last
        self._seen = _Seen()
        self._started = False
        self._reader, self._log = _log_of(store, session_id)
        self.session_id = session_id
        self.name: str | None = None
        self.state = _OPEN
        if self._log is None:
            # Published and removed already, or there never was such a session.
            self.name = store.read(session_id).card.name

    @property
    def count(self) -> int:
        """How many actions have ended so far, returned or not."""
        return self._seen.count

    def lacking(self) -> tuple[int, int]:
        """
        Return how many actions were lost, and at how many places records of logs were damaged: as listings say it.

        None of both where the session has been deleted.
        """
        try:
            session = Catalogue(self._store).get_session(self.session_id)
        except SessionNotFoundError:
            return 0, 0
        return session.lost, session.gaps

    def step(self) -> list[ReplayAction]:
        """
        Return what ended since the last step; nothing once the session has ended.

        Raises:
            StorageError: What is stored cannot be read.
        """
        if self.state != _OPEN:
            return []
        if self._started:
            return [action_from_entry(found()) for found in self._new()]
        self._started = True
        # What was published before the log that is there now: a resumed
        # session has a log of its own.
        newest = deque(self._published(self._stored()), maxlen=self._last)
        newest.extend(self._new())
        return [action_from_entry(found()) for found in newest]

    def _new(self) -> Iterator[_Found]:
        reader, log = self._reader, self._log
        # Asked before the log is read: what a writer appended before it went
        # is read by this very step.
        is_written = log is not None and log.has_writer()
        if reader is not None:
            yield from self._logged(reader)
            if reader.sealing is None and is_written:
                return
            yield from (partial(entry_of, call) for call in reader.unfinished() if self._seen.take(call.sequence))
        if reader is not None and reader.sealing is not None:
            self.state = reader.sealing.state
            return
        stored = self._stored()
        yield from self._published(stored)
        is_ended = stored is not None and stored.card.state != _OPEN
        self.state = stored.card.state if stored is not None and is_ended else "interrupted"

    def _logged(self, reader: LogReader) -> Iterator[_Found]:
        for what, item in reader.items():
            if what is Item.CALL and self._seen.take(item.sequence):
                yield partial(entry_of, item)
            elif what is Item.ENTRY and self._seen.take(item["i"]):
                yield partial(_itself, item)
        if reader.opening is not None:
            self.name = reader.opening.name

    def _stored(self) -> StoredSession | None:
        with suppress(SessionNotFoundError):
            return self._store.read(self.session_id)
        return None

    def _published(self, stored: StoredSession | None) -> Iterator[_Found]:
        if stored is None:
            return
        for sequence in stored.sequences:
            if self._seen.take(sequence):
                yield partial(stored.action, sequence)


def follow(follower: Follower, pause: Callable[[], None]) -> Iterator[ReplayAction]:
    """Yield the actions of *follower* until its session has ended; *pause* is called between two looks."""
    yield from follower.step()
    while follower.state == _OPEN:
        pause()
        yield from follower.step()


def newest_open(store: Store) -> UUID | None:
    """Return the session that was opened last among those that somebody records now, None without one."""
    openings = [read_opening(log) for log in store.logs() if log.has_writer()]
    found = [opening for opening in openings if opening is not None]
    return max(found, key=lambda opening: opening.created_ns).session_id if found else None


def _log_of(store: Store, session_id: UUID) -> tuple[LogReader | None, Log | None]:
    for log in store.logs():
        # Without a byte it was removed before we could open it.
        if log.session_id == session_id and log.size:
            return LogReader(log), log
    return None, None


def _itself(entry: Entry) -> Entry:
    return entry


class _Seen:
    """Which sequences were met: in little memory, as they come nearly in order."""

    def __init__(self) -> None:
        self.count = 0
        self._below = 0
        self._above: set[int] = set()

    def take(self, sequence: int) -> bool:
        """Note *sequence*; return whether it is new."""
        if sequence < self._below or sequence in self._above:
            return False
        self.count += 1
        self._above.add(sequence)
        while self._below in self._above:
            self._above.discard(self._below)
            self._below += 1
        return True
