"""
Sessions inside a memory's own SQLite file, or in RAM.

Each part is one row that holds a complete segment; publishing is one
transaction.  Live logs stand beside the file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from replaykit.errors import (
    ClosedError,
    DamagedError,
    LockedError,
    ReadOnlyError,
    SessionNotFoundError,
    StorageError,
    UnsupportedVersionError,
)
from replaykit.format.block import LIVE_LEVEL
from replaykit.format.card_columns import cards_of_maps
from replaykit.format.catalog import Record, encode_catalog
from replaykit.format.entries import Card, Part
from replaykit.format.fields import map_of_card
from replaykit.format.merkle import Trees
from replaykit.format.parts import LIVE_BLOCK_BYTES, encode_part, trees_after
from replaykit.format.segment import CATALOG, start_segment
from replaykit.format.strict import decode_maps, encode_body
from replaykit.model import Compaction, Depth, Verification
from replaykit.protocols import Advance, FileLayer, Log
from replaykit.storage.cards import card_after
from replaykit.storage.checking import read_sessions
from replaykit.storage.compaction import COMPACT_BLOCK_BYTES, COMPACT_LEVEL, demand_same, silent
from replaykit.storage.copying import parts_of
from replaykit.storage.database import MEMORY, demand_stored_tables, open_database
from replaykit.storage.files import SystemFiles
from replaykit.storage.guard import Guard
from replaykit.storage.log_files import FileLog, MemoryLog, logs_beside
from replaykit.storage.options import StoreOptions
from replaykit.storage.part_rows import PartRow, part_problems
from replaykit.storage.quota import demand_room, is_full
from replaykit.storage.reserve import Reserve
from replaykit.storage.stored_session import Piece, SegmentSession

if TYPE_CHECKING:
    import apsw

__all__ = ["SqliteStore"]

_CARDS_AT_ONCE = 512
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replaykit_meta(key TEXT PRIMARY KEY, value);
CREATE TABLE IF NOT EXISTS replaykit_part(
    session BLOB, number INTEGER, body BLOB, PRIMARY KEY(session, number));
CREATE TABLE IF NOT EXISTS replaykit_session(
    session BLOB PRIMARY KEY, position INTEGER, card BLOB);
"""


def _deleted(session_id: UUID) -> str:
    return f"deleted {session_id.hex}"


class SqliteStore:
    """
    The sessions of the memory file *path*, created where it is missing.

    Raises:
        NotAStoreError: The file is something else; it is left as it is.
        StoreNotFoundError: *read_only*, and there is none.
        UnsupportedVersionError: A newer replaykit made its tables.
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
        self._read_only = read_only
        self._options = options or StoreOptions()
        self._files = files or SystemFiles()
        self._reserve = Reserve(self._files, os.path.dirname(self._path))
        self._clock = clock
        self._guard = Guard()
        self._logs: dict[UUID, MemoryLog] = {}
        # A child must not close what its parent uses, so it only keeps it.
        self._inherited: list[apsw.Connection] = []
        self._connection: apsw.Connection | None = self._connect()

    @property
    def location(self) -> str:
        """The path as the user gave it, for messages."""
        return self._path

    @property
    def options(self) -> StoreOptions:
        """How it keeps its files."""
        return self._options

    def is_full(self) -> bool:
        """Return whether it holds as much as its options allow."""
        return is_full(self)

    def total_bytes(self) -> int:
        """Return how many bytes the database and the live logs beside it hold."""
        paths = (self._path, f"{self._path}-wal") if self._path != MEMORY else ()
        own = sum(os.path.getsize(path) for path in paths if os.path.exists(path))
        return own + sum(log.size for log in self.logs())

    def bytes_of_sessions(self) -> dict[UUID, int]:
        """Return how many bytes the parts of each session take."""
        rows = self._rows("SELECT session, sum(length(body)) FROM replaykit_part GROUP BY session")
        return {UUID(bytes=session): size for session, size in rows if type(session) is bytes and len(session) == 16}

    def free_bytes(self) -> int:
        """Return how many bytes of the file nothing uses: sessions and frames that were deleted."""
        ((pages, size),) = self._rows("SELECT freelist_count, page_size FROM pragma_freelist_count, pragma_page_size")
        return int(pages * size)

    # -- live logs ----------------------------------------------------------------

    def create_log(self, session_id: UUID) -> Log:
        """
        Make the live log of a new (or resumed) session and be its writer.

        Raises:
            LockedError: The session has a log with a living writer.
            StoreFullError: The file holds as much as it may.
            StorageError: It has one that is not recovered, or the disk refuses.
        """
        self._demand_writable()
        if self._path != MEMORY:
            demand_room(self)
            self._reserve.take()
            log = FileLog(self._files, self._path, session_id, align=self._options.align, reserve=self._reserve)
            log.create()
            return log
        with self._guard.lock:
            found = self._logs.get(session_id)
            if found is not None and not found.removed:
                raise LockedError(f"the live log of session {session_id}")
            self._logs[session_id] = MemoryLog(session_id)
            return self._logs[session_id]

    def logs(self) -> Sequence[Log]:
        """Return the live logs beside this store, whoever writes them."""
        if self._path != MEMORY:
            return logs_beside(self._files, self._path)
        with self._guard.lock:
            self._logs = {key: log for key, log in self._logs.items() if not log.removed}
            return list(self._logs.values())

    # -- writing ------------------------------------------------------------------

    def publish(self, part: Part) -> None:
        """
        Insert a part; on the device when this returns.

        Raises:
            StorageError: It is not kept; the file is as it was.
            UsageError: An entry holds something that no recording can hold.
        """
        session_id = part.opening.session_id
        with self._guard.lock:
            self._demand_writable()
            # Encoded before the transaction: while that lasts the agent's own
            # writes to this file wait.  A session has one publisher, so its
            # card cannot change in between.
            session = self._find(session_id)
            card = self._card_after(part, session)
            trees = trees_after(None if session is None else session.pieces[-1].index)
            body, stored = self._segment_of(part, card, trees), encode_body(map_of_card(card))
            with self._transaction() as connection:
                number, position = connection.execute(
                    "SELECT (SELECT coalesce(max(number) + 1, 0) FROM replaykit_part WHERE session = ?),"
                    " (SELECT coalesce(max(position), 0) + 1 FROM replaykit_session)",
                    (session_id.bytes,),
                ).get
                connection.execute(
                    "INSERT INTO replaykit_part(session, number, body) VALUES (?, ?, ?)",
                    (session_id.bytes, number, body),
                )
                connection.execute(
                    "INSERT OR REPLACE INTO replaykit_session(session, position, card) VALUES (?, ?, ?)",
                    (session_id.bytes, position, stored),
                )

    def delete(self, session_id: UUID) -> None:
        """
        Delete a published session durably; other sessions are untouched.

        Raises:
            SessionNotFoundError: It is not published, or was deleted before.
        """
        with self._guard.lock:
            self._demand_writable()
            self._sync_names()
            with self._transaction() as connection:
                connection.execute("DELETE FROM replaykit_session WHERE session = ?", (session_id.bytes,))
                if not connection.changes():
                    raise SessionNotFoundError(session_id)
                connection.execute("DELETE FROM replaykit_part WHERE session = ?", (session_id.bytes,))
                # Free pages may hold its bytes until the file is rewritten.
                connection.execute("INSERT OR REPLACE INTO replaykit_meta VALUES (?, 1)", (_deleted(session_id),))

    def erase(self, session_id: UUID) -> None:
        """
        Delete a session so that no byte of it stays in the file or in its log.

        Raises:
            SessionNotFoundError: It is not published, or was deleted and compacted away before.
            LockedError: Another connection is using the file.
        """
        with self._guard.lock:
            was_deleted = self._rows("SELECT 1 FROM replaykit_meta WHERE key = ?", _deleted(session_id))
            is_there = self._rows("SELECT 1 FROM replaykit_session WHERE session = ?", session_id.bytes)
            if is_there or not was_deleted:
                self.delete(session_id)
            self._vacuum()

    def compact(self, *, progress: Advance = silent) -> Compaction:
        """
        Rewrite each session in large blocks, in one transaction, and give free pages back.

        Raises:
            DamagedError: Something is damaged; nothing was changed.
            LockedError: Another connection is using the file.
        """
        with self._guard.lock:
            self._demand_writable()
            before, cards = self.total_bytes(), self.cards()
            with self._transaction() as connection:
                for done, card in enumerate(cards):
                    progress(done, len(cards))
                    self._rewrite(connection, card.session_id)
            progress(len(cards), len(cards))
            self._vacuum()
            return Compaction(path=self._path, sessions=len(cards), bytes_before=before, bytes_after=self.total_bytes())

    def _rewrite(self, connection: apsw.Connection, session_id: UUID) -> None:
        """Replace the parts of a session by larger ones, inside a transaction that an error takes back."""
        old = self.read(session_id)
        first = connection.execute(
            "SELECT max(number) + 1 FROM replaykit_part WHERE session = ?", (session_id.bytes,)
        ).get
        trees = Trees()
        for number, part in enumerate(parts_of(old), first):
            body = self._segment_of(part, old.card, trees, COMPACT_BLOCK_BYTES, COMPACT_LEVEL)
            connection.execute(
                "INSERT INTO replaykit_part(session, number, body) VALUES (?, ?, ?)", (session_id.bytes, number, body)
            )
        new = SegmentSession(old.card, self._pieces(session_id, first))
        demand_same(old, new)
        connection.execute("DELETE FROM replaykit_part WHERE session = ? AND number < ?", (session_id.bytes, first))

    def _vacuum(self) -> None:
        """Give free pages back, and leave nothing of deleted rows in the file or in its log."""
        import apsw

        try:
            self._connected().execute("VACUUM")
            busy = self._connected().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]
        except apsw.Error as error:
            raise self._translated(error) from error
        if busy:
            raise LockedError(self._path)
        # Nothing of what was deleted is there now; before, it could be erased.
        with self._transaction() as connection:
            connection.execute("DELETE FROM replaykit_meta WHERE key LIKE 'deleted %'")

    def _sync_names(self) -> None:
        """Have a power loss not undo that live logs were removed: the next to open the store would recover them."""
        if self._path == MEMORY:
            return
        try:
            self._files.sync_directory(os.path.dirname(self._path))
        except OSError as error:
            raise StorageError(f"Cannot sync the folder of {self._path}: {error}", path=self._path) from error

    def _card_after(self, part: Part, session: SegmentSession | None) -> Card:
        checkpoint_ids = {entry["c"] for entry in part.checkpoints}
        if session is None:
            return card_after(part, None, checkpoint_count=len(checkpoint_ids))
        if session.card.checkpoint_count:
            checkpoint_ids |= {entry["c"] for entry in session.checkpoints}
        return card_after(
            part,
            session.card,
            replaced=session.repeated_in(part.actions),
            checkpoint_count=len(checkpoint_ids),
        )

    def _segment_of(
        self,
        part: Part,
        card: Card,
        trees: Trees | None,
        block_bytes: int = LIVE_BLOCK_BYTES,
        level: int = LIVE_LEVEL,
    ) -> bytes:
        now = self._clock()
        writer = start_segment(
            sync=os.urandom(8), file_id=uuid4().bytes, created_ns=now, writer="replaykit", level=level
        )
        _, place = encode_part(writer, part, trees=trees, block_bytes=block_bytes)
        record = Record(number=1, session_id=card.session_id.bytes, published_ns=now, card=card, at=place)
        catalog = writer.add(CATALOG, encode_catalog(1, 0, [record]))
        writer.add_tail(catalog.offset, writer.previous)
        return writer.take()

    # -- reading ------------------------------------------------------------------

    def cards(self) -> Sequence[Card]:
        """Return one card per published session, in order of publishing; reads no part."""
        with self._guard.lock:
            return self._cards(self._rows("SELECT session, card FROM replaykit_session ORDER BY position"))

    def read(self, session_id: UUID) -> SegmentSession:
        """
        Return the published session.

        Raises:
            SessionNotFoundError: Nothing of it is published, or it was deleted.
            DamagedError: A part is damaged.
        """
        with self._guard.lock:
            session = self._find(session_id)
        if session is None:
            raise SessionNotFoundError(session_id)
        return session

    def verify(self, *, depth: Depth = "full", progress: Advance = silent) -> Verification:
        """
        Read every byte, and unless *depth* is ``"bytes"`` every session.

        The result is true only if all of it is accounted for.
        """
        problems: list[str] = []
        bytes_read = 0
        parts = self._rows("SELECT rowid, coalesce(length(body), 0) FROM replaykit_part ORDER BY rowid")
        total = sum(size for _, size in parts)
        found = read_sessions(self, size=total, progress=progress, depth=depth)
        for row, _ in parts:
            progress(total + bytes_read, 2 * total)
            for (body,) in self._rows("SELECT body FROM replaykit_part WHERE rowid = ?", row):
                problems.extend(part_problems(body, f"{self._path} part {row}", found.sound_in, found.trusted))
                bytes_read += len(body) if isinstance(body, bytes) else 0
        progress(2 * total, 2 * total)
        return found.verification(self.location, bytes_read, problems)

    def idle(self) -> None:
        """Nothing is written for now: the database says so by itself."""

    def close(self) -> None:
        """Let go of the file; closing twice is fine."""
        with self._guard.lock:
            connection, self._connection = self._connection, None
            self._reserve.give()
            if connection is None:
                return
            if self._guard.forked and self._path != MEMORY:
                self._inherited.append(connection)
            else:
                connection.close()

    def read_body(self, row: int, offset: int, size: int) -> bytes:
        """Return up to *size* bytes at *offset* of the part in *row*; for sessions that were read."""
        import apsw

        with self._guard.lock:
            connection = self._connected()
            try:
                blob = connection.blob_open("main", "replaykit_part", "body", row, False)
                try:
                    available = max(0, min(size, blob.length() - offset))
                    blob.seek(min(offset, blob.length()))
                    return blob.read(available)
                finally:
                    blob.close()
            except apsw.SQLError as error:
                raise StorageError(
                    f"{self._path}: this session was deleted or compacted since it was read; get it again",
                    path=self._path,
                ) from error
            except apsw.Error as error:
                raise self._translated(error) from error

    def _find(self, session_id: UUID) -> SegmentSession | None:
        stored = self._rows("SELECT card FROM replaykit_session WHERE session = ?", session_id.bytes)
        if not stored:
            return None
        pieces = self._pieces(session_id)
        if not pieces:
            raise DamagedError(self._path, 0, f"session {session_id} has a card and no parts")
        return SegmentSession(self._cards([(session_id.bytes, stored[0][0])])[0], pieces)

    def _pieces(self, session_id: UUID, first: int = 0) -> list[Piece]:
        parts = self._rows(
            "SELECT rowid, length(body) FROM replaykit_part WHERE session = ? AND number >= ? ORDER BY number",
            session_id.bytes,
            first,
        )
        sources = [PartRow(self.read_body, f"{self._path} part {row}", row, size) for row, size in parts]
        return [
            Piece(source, source.index(session_id.bytes), continues=number > 0) for number, source in enumerate(sources)
        ]

    def _cards(self, stored: Sequence[tuple[Any, Any]]) -> list[Card]:
        cards: list[Card] = []
        for at in range(0, len(stored), _CARDS_AT_ONCE):
            cards += self._some_cards(stored[at : at + _CARDS_AT_ONCE])
        return cards

    def _some_cards(self, stored: Sequence[tuple[Any, Any]]) -> list[Card]:
        if not all(type(body) is bytes for _, body in stored):
            raise DamagedError(self._path, 0, "a card is no CBOR")
        bodies = list(decode_maps([body for _, body in stored], mark=os.urandom(8), path=self._path))
        # Else thousands of cards could each have one large session read.
        if [body.get("s") for body in bodies] != [session_id for session_id, _ in stored]:
            raise DamagedError(self._path, 0, "a card is of another session")
        return cards_of_maps(bodies, path=self._path)

    # -- the connection -------------------------------------------------------------

    def _connect(self) -> apsw.Connection:
        import apsw

        connection = open_database(self._path, create=not self._read_only, read_only=self._read_only)
        try:
            if not self._read_only:
                # A part leaves its live log once it is published, so it
                # must be on the device when the transaction ends.
                connection.execute("PRAGMA synchronous=FULL")
                # What a killed writer committed may not be on the device yet,
                # and a recovery relies on it: this syncs SQLite's log.
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            demand_stored_tables(connection, self._path)
            self._demand_version(connection)
            return connection
        except apsw.Error as error:
            connection.close()
            raise self._translated(error) from error
        except BaseException:
            connection.close()
            raise

    def _demand_version(self, connection: apsw.Connection) -> None:
        known = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'replaykit_meta'").get
        if not known and self._read_only:
            return
        if not known:
            with connection:
                connection.execute(_SCHEMA)
                connection.execute(
                    "INSERT OR IGNORE INTO replaykit_meta VALUES ('sessions_schema', ?)", (_SCHEMA_VERSION,)
                )
        found = connection.execute("SELECT value FROM replaykit_meta WHERE key = 'sessions_schema'").get
        if found != _SCHEMA_VERSION:
            raise UnsupportedVersionError(self._path, found, _SCHEMA_VERSION)

    def _connected(self) -> apsw.Connection:
        if self._connection is None:
            raise ClosedError(f"{self._path} is closed")
        if self._guard.forked:
            if self._path != MEMORY:
                self._inherited.append(self._connection)
                self._connection = self._connect()
            self._guard.adopt()
        return self._connection

    def _rows(self, statement: str, *values: bytes | int | str) -> list[Any]:
        import apsw

        with self._guard.lock:
            connection = self._connected()
            try:
                return connection.execute(statement, values).fetchall()
            except apsw.SQLError as error:
                if self._read_only and "no such table" in str(error):
                    return []
                raise self._translated(error) from error
            except apsw.Error as error:
                raise self._translated(error) from error

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        import apsw

        connection = self._connected()
        try:
            # IMMEDIATE, so that waiting for another writer happens here.
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except apsw.Error as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> StorageError:
        import apsw

        if isinstance(error, (apsw.BusyError, apsw.LockedError)):
            return LockedError(self._path)
        if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
            return DamagedError(self._path, 0, f"the database is damaged: {error}")
        if isinstance(error, apsw.FullError):
            return StorageError(f"Cannot write {self._path}: the disk is full", path=self._path)
        return StorageError(f"Cannot use {self._path}: {error}", path=self._path)

    def _demand_writable(self) -> None:
        if self._read_only:
            raise ReadOnlyError(f"{self._path} is open for reading only")
        if self._connection is None:
            raise ClosedError(f"{self._path} is closed")

    def __repr__(self) -> str:
        return f"<SqliteStore {self._path}>"
