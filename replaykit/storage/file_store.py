"""
A store in one file: one process writes, any number read at any time.

The file alone is the recording once a part is published; the live logs of
open sessions stand beside it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import attrs

from replaykit.errors import (
    ClosedError,
    DamagedError,
    LockedError,
    ReadOnlyError,
    SessionNotFoundError,
    StorageError,
)
from replaykit.format.catalog import Record, encode_catalog
from replaykit.format.entries import Card, Part
from replaykit.format.index import Place
from replaykit.format.merkle import Trees
from replaykit.format.parts import encode_part, trees_after
from replaykit.format.segment import (
    CATALOG,
    TOMB,
    SegmentWriter,
    SessionIndex,
)
from replaykit.format.strict import encode_body
from replaykit.model import Compaction, Depth, Verification
from replaykit.protocols import Advance, FileLayer
from replaykit.storage.appending import Appender
from replaykit.storage.beginning import open_for_writing
from replaykit.storage.cards import card_after
from replaykit.storage.checking import read_sessions, segment_problems
from replaykit.storage.compaction import rewrite, silent
from replaykit.storage.files import SystemFiles
from replaykit.storage.guard import Guard
from replaykit.storage.listing import Listing
from replaykit.storage.log_files import FileLog, logs_beside
from replaykit.storage.options import StoreOptions
from replaykit.storage.quota import demand_room, is_full
from replaykit.storage.reserve import Reserve, means_full
from replaykit.storage.segment_file import OpenFile, SegmentFile, open_file
from replaykit.storage.stored_session import Piece, SegmentSession, read_index

__all__ = ["FileStore"]


@attrs.frozen
class _Known:
    """An unsealed session: what the next part of it continues."""

    card: Card
    index: SessionIndex
    newest: Place
    checkpoint_ids: frozenset[int]


class FileStore:
    """
    The store in the file *path*, created where it is missing.

    *clock* gives nanoseconds since 1970; it orders sessions of several files,
    never those of one.

    Raises:
        LockedError: It is open for writing already, here or elsewhere.
        NotAStoreError: The file is something else; it is left as it is.
        DamagedError: A part that was synced once is damaged; reading with
            *read_only* may still be possible.
        StoreNotFoundError: *read_only*, and there is none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        read_only: bool = False,
        options: StoreOptions | None = None,
        files: FileLayer | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._path = os.fspath(path)
        self._options = options or StoreOptions()
        self._files = files or SystemFiles()
        self._reserve = Reserve(self._files, os.path.dirname(self._path))
        self._clock = clock
        self._guard = Guard()
        self._closed = False
        self._listing: Listing | None = None
        self._listed_bytes = -1
        self._known: dict[bytes, _Known] = {}
        self._commits = 0
        self._written: OpenFile | None = None
        self._appender: Appender | None = None
        if not read_only:
            self._written = open_for_writing(self._files, self._path, clock=self._clock, align=self._options.align)
        try:
            self._read_from(open_file(self._files, self._path))
            if self._written is not None:
                self._appender = Appender(self._written, self._segment, self._options)
        except BaseException:
            self._let_go()
            raise

    @property
    def location(self) -> str:
        """The path as the user gave it, for messages."""
        return self._path

    @property
    def files(self) -> FileLayer:
        """The way to its disk."""
        return self._files

    @property
    def clock(self) -> Callable[[], int]:
        """Where its time comes from."""
        return self._clock

    @property
    def segment(self) -> SegmentFile:
        """The file's blocks, for reading."""
        return self._segment

    @property
    def options(self) -> StoreOptions:
        """How it keeps its files."""
        return self._options

    @property
    def is_poisoned(self) -> bool:
        """Whether it takes no more writes in this process, since one failed in a way that nobody can undo."""
        return self._appender is not None and self._appender.is_poisoned

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more writes because it was closed."""
        return self._closed

    def size(self) -> int:
        """Return the file's size in bytes."""
        return self._segment.size()

    def is_full(self) -> bool:
        """Return whether it holds as much as its options allow."""
        return is_full(self)

    def total_bytes(self) -> int:
        """Return how many bytes the file and the live logs beside it hold."""
        return self.size() + sum(log.size for log in self.logs())

    # -- live logs ----------------------------------------------------------------

    def create_log(self, session_id: UUID) -> FileLog:
        """
        Make the live log of a new (or resumed) session and be its writer.

        Raises:
            LockedError: The session has a log with a living writer.
            StoreFullError: The store holds as much as it may.
            StorageError: It has one that is not recovered, or the disk refuses.
        """
        self._demand_writable()
        demand_room(self)
        self._reserve.take()
        log = FileLog(self._files, self._path, session_id, align=self._options.align, reserve=self._reserve)
        log.create()
        return log

    def logs(self) -> Sequence[FileLog]:
        """Return the live logs beside this store, whoever writes them."""
        return logs_beside(self._files, self._path)

    # -- writing ------------------------------------------------------------------

    def publish(self, part: Part, *, published_ns: int = 0) -> None:
        """
        Append a part; on the device when this returns.

        A part of a session that was deleted begins that session anew.
        *published_ns* is when a copied part was published, 0 for now.

        Raises:
            StorageError: It is not kept; the file is as it was.
            UsageError: An entry holds something that no recording can hold.
        """
        session_id = part.opening.session_id.bytes
        with self._guard.lock:
            appender = self._demand_appender()
            known = self._session_so_far(session_id)
            writer = appender.writer()
            index, newest = encode_part(
                writer,
                part,
                before=known.index if known else None,
                earlier=known.newest if known else None,
                trees=trees_after(known.index if known else None),
                block_bytes=self._options.block_bytes,
            )
            following = self._following(part, known, index, newest)
            self._commit(appender, writer, session_id, card=following.card, index=newest, published_ns=published_ns)
            self._known.pop(session_id, None)
            if part.sealing is None:
                self._known[session_id] = following

    def delete(self, session_id: UUID) -> None:
        """
        Delete a published session durably; other sessions are untouched.

        Raises:
            SessionNotFoundError: It is not published here, or was deleted before.
        """
        with self._guard.lock:
            self._demand_appender()
            record = self._fresh_listing().record(session_id.bytes)
            if record is None or record.card is None:
                raise SessionNotFoundError(session_id)
            self.hide(session_id)

    def erase(self, session_id: UUID) -> None:
        """
        Delete a published session so that no byte of it stays in the store's files.

        Raises:
            SessionNotFoundError: It is not published here, or was deleted and compacted away before.
            StorageError: There is no room for the rewritten file; this one is as it was.
        """
        with self._guard.lock:
            self._demand_writable()
            if self._fresh_listing().record(session_id.bytes) is None:
                raise SessionNotFoundError(session_id)
            rewrite(self, drop=frozenset((session_id.bytes,)), erase=True)

    def compact(self, *, progress: Advance = silent) -> Compaction:
        """
        Rewrite the file with large blocks and without what was deleted; all at once or not at all.

        Recorded calls go on meanwhile; publishing and reading wait.

        Raises:
            DamagedError: Something in the file is damaged: ``recover`` it first.
            StorageError: There is no room for the rewritten file; this one is as it was.
        """
        with self._guard.lock:
            self._demand_writable()
            return rewrite(self, progress=progress)

    # -- for the compaction ---------------------------------------------------------

    def demand_unchanged(self) -> None:
        """
        Return if the file is as this store has left it, and still has its name.

        Raises:
            StorageError: Somebody else changed, removed or replaced it, or a write to it failed.
        """
        self._demand_writable().demand_healthy()

    def beside(self, path: str, options: StoreOptions, files: FileLayer) -> FileStore:
        """Return the store at another *path*, with this one's clock."""
        return FileStore(path, options=options, files=files, clock=self._clock)

    def append_blocks(self, blocks: Sequence[tuple[int, bytes]]) -> None:
        """Append blocks, as kind and body, that belong to no session; StorageError when they are not kept."""
        with self._guard.lock:
            appender = self._demand_appender()
            writer = appender.writer()
            for kind, body in blocks:
                writer.add(kind, body)
            writer.pad()
            appender.write(writer, writer.take())

    def adopt(self, file: OpenFile) -> None:
        """Go on with *file*, which holds the lock and whose name has just become this store's."""
        old, file.path = self._written, self._path
        self._written = file
        self._read_from(open_file(self._files, self._path))
        self._appender = Appender(file, self._segment, self._options)
        self._known.clear()
        if old is not None:
            old.close()

    def release(self) -> OpenFile:
        """Return the locked file that this store writes to, and close the store without it."""
        self._demand_writable().mark_synced(self._closing_catalog())
        file, self._written = self._written, None
        assert file is not None  # a store that is written to has one
        self._closed = True
        self._let_go()
        return file

    # -- what publishing is made of -------------------------------------------------

    def hide(self, session_id: UUID, *, after_ns: int = 0, published_ns: int = 0) -> None:
        """
        Write a deletion that is later than *after_ns*, wherever the session is published.

        *published_ns* is when a copied one was written, 0 for now.
        """
        with self._guard.lock:
            appender = self._demand_appender()
            # The removal of its live log must not be undone by a power loss:
            # the next to open the store would recover the session.
            self._sync_names()
            writer = appender.writer()
            writer.add(TOMB, encode_body({**self._remains(session_id), "t": self._clock()}))
            self._commit(appender, writer, session_id.bytes, after_ns=after_ns, published_ns=published_ns)
            self._known.pop(session_id.bytes, None)

    def _remains(self, session_id: UUID) -> dict[str, Any]:
        """Return what a tombstone says of a session: no content, but what proves which one it was."""
        says: dict[str, Any] = {"s": session_id.bytes}
        record = self._fresh_listing().record(session_id.bytes)
        if record is None or record.card is None:
            return says
        says["n"] = record.card.action_count
        with suppress(DamagedError):
            edges = self.piece(record).index.edges
            if edges is not None:
                says["root"] = Trees(edges).root()
        return says

    def _sync_names(self) -> None:
        try:
            self._files.sync_directory(os.path.dirname(self._path))
        except OSError as error:
            raise StorageError(f"Cannot sync the folder of {self._path}: {error}", path=self._path) from error

    def _commit(
        self,
        appender: Appender,
        writer: SegmentWriter,
        session_id: bytes,
        *,
        card: Card | None = None,
        index: Place | None = None,
        after_ns: int = 0,
        published_ns: int = 0,
    ) -> None:
        listing = self._fresh_listing()
        record = Record(
            number=listing.number + 1,
            session_id=session_id,
            # A copy keeps its time: among the files of a directory it decides
            # what a deletion hides.
            published_ns=published_ns or max(self._clock(), listing.published_ns + 1, after_ns + 1),
            card=card,
            at=index or (0, 0),
        )
        base, stored = listing.next_catalog(record)
        place = writer.add(CATALOG, encode_catalog(record.number, base, stored))
        writer.add_tail(place.offset, writer.previous)
        try:
            self._write(appender, writer)
            listing.commit(record, place)
            self._commits += 1
            self._listed_bytes = appender.end.offset
        except BaseException:
            # An interrupt may come between the write and what we note of
            # it: read it from the file next time.
            self._listing = None
            self._known.clear()
            raise

    def _write(self, appender: Appender, writer: SegmentWriter) -> None:
        data = writer.take()
        try:
            appender.write(writer, data)
        except StorageError as error:
            if not means_full(error.__cause__) or not self._reserve.give():
                raise
            appender.write(writer, data)

    def _following(self, part: Part, known: _Known | None, index: SessionIndex, newest: Place) -> _Known:
        checkpoint_ids = frozenset(entry["c"] for entry in part.checkpoints)
        if known is None:
            card = card_after(part, None, checkpoint_count=len(checkpoint_ids))
            return _Known(card, index, newest, checkpoint_ids)
        checkpoint_ids |= known.checkpoint_ids
        session = SegmentSession(known.card, [Piece(self._segment, known.index)])
        card = card_after(
            part,
            known.card,
            replaced=session.repeated_in(part.actions),
            checkpoint_count=len(checkpoint_ids),
        )
        return _Known(card, index, newest, checkpoint_ids)

    def _session_so_far(self, session_id: bytes) -> _Known | None:
        known = self._known.get(session_id)
        if known is not None:
            return known
        record = self._fresh_listing().record(session_id)
        if record is None or record.card is None or record.place is None:
            return None
        piece = self.piece(record)
        checkpoints = SegmentSession(record.card, [piece]).checkpoints
        checkpoint_ids = frozenset(entry["c"] for entry in checkpoints)
        return _Known(record.card, piece.index, record.place, checkpoint_ids)

    # -- reading ------------------------------------------------------------------

    def records(self) -> Sequence[Record]:
        """Return the newest record of each session, deletions included, in order of publishing."""
        with self._guard.lock:
            return self._fresh_listing().records()

    def cards(self) -> Sequence[Card]:
        """Return one card per published session, in order of publishing; reads no action."""
        with self._guard.lock:
            records = self._fresh_listing().records()
            return [record.card for record in records if record.card is not None]

    def read(self, session_id: UUID) -> SegmentSession:
        """
        Return the published session.

        Raises:
            SessionNotFoundError: Nothing of it is published, or it was deleted.
            DamagedError: Its index is damaged.
        """
        with self._guard.lock:
            record = self._fresh_listing().record(session_id.bytes)
            if record is None or record.card is None:
                raise SessionNotFoundError(session_id)
            return SegmentSession(record.card, [self.piece(record)])

    def piece(self, record: Record) -> Piece:
        """Return what this file holds of the session of *record*, which is no deletion."""
        if record.place is None:
            raise SessionNotFoundError(UUID(bytes=record.session_id))
        return Piece(self._segment, read_index(self._segment, record.session_id, record.place))

    def verify(self, *, depth: Depth = "full", progress: Advance = silent) -> Verification:
        """
        Read every byte, and unless *depth* is ``"bytes"`` every session.

        The result is true only if all of it is accounted for.
        """
        size = self._segment.size()
        found = read_sessions(self, size=size, progress=progress, depth=depth)
        problems = segment_problems(
            self._segment,
            sound=found.sound_in(self._segment.path, self._segment.file_id),
            trusted=found.trusted,
            passed=lambda offset: progress(size + offset, 2 * size),
        )
        progress(2 * size, 2 * size)
        return found.verification(self.location, size, problems)

    def idle(self) -> None:
        """Nothing is written for now: say in the file that all of it was synced."""
        with self._guard.lock:
            if self._appender is not None and not (self._closed or self._guard.forked):
                self._appender.mark_synced()

    def close(self) -> None:
        """Let go of file and lock; closing twice is fine.  Sessions that were read stay readable."""
        with self._guard.lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self._appender is not None and not self._guard.forked:
                    self._appender.mark_synced(self._closing_catalog())
            finally:
                self._let_go()

    def _closing_catalog(self) -> bytes | None:
        listing = self._listing
        found = None if listing is None or not self._commits else listing.closing_catalog(self._commits)
        return None if found is None or listing is None else encode_catalog(listing.number, *found)

    def abandon(self) -> None:
        """Close this process's descriptors only: for a forked child; the parent keeps its lock."""
        self._closed = True
        self._reserve.abandon()
        if self._written is not None:
            self._written.abandon()

    def _read_from(self, file: OpenFile) -> None:
        self._segment, self._read = SegmentFile(file), file
        self._listing, self._listed_bytes = None, -1

    def _follow_compaction(self) -> None:
        """Read the file that has taken the place of the one that is open; where there is none, go on with this one."""
        with suppress(OSError):
            if self._appender is None and not self._files.leads_to(self._path, self._read.handle):
                self._read_from(open_file(self._files, self._path))

    def _fresh_listing(self) -> Listing:
        if self._closed:
            raise ClosedError(f"{self._path} is closed")
        self._follow_compaction()
        size = self._segment.size()
        if self._listing is None or size != self._listed_bytes:
            # Filled before it is kept: an error leaves the old one.  Of a file
            # that was cut it may say more than is there.
            listing = Listing() if size < self._listed_bytes else self._listing or Listing()
            listing.refresh(self._segment, self._segment.newest_catalog(size))
            self._listing, self._listed_bytes = listing, size
        return self._listing

    # -- the file ---------------------------------------------------------------

    def _demand_writable(self) -> Appender:
        if self._closed:
            raise ClosedError(f"{self._path} is closed")
        if self._appender is None:
            raise ReadOnlyError(f"{self._path} is open for reading only")
        if self._guard.forked:
            # The child holds a copy of the lock, so only this check keeps
            # two processes from writing.
            raise LockedError(self._path, self._guard.pid)
        return self._appender

    def _demand_appender(self) -> Appender:
        """Return what appends, where it takes the next part: what is encoded now has to fit its end."""
        appender = self._demand_writable()
        appender.demand_healthy()
        return appender

    def _let_go(self) -> None:
        self._reserve.give()
        if self._written is not None:
            self._written.close()

    def __repr__(self) -> str:
        return f"<FileStore {self._path}>"
