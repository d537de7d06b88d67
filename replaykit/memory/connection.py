"""
One database connection for all threads, and a new one for each forked child.

SQLite's errors end here: what leaves is a replaykit error.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

from replaykit.errors import (
    ClosedError,
    DamagedError,
    LockedError,
    NotAStoreError,
    ReadOnlyError,
    ReplaykitError,
    StorageError,
    UsageError,
)
from replaykit.memory.counts import prepare_counting
from replaykit.memory.schema import VERSION, demand_readable, has_tables, prepare, upgrade
from replaykit.storage.database import MEMORY, open_database, open_ram_copy

if TYPE_CHECKING:
    import apsw

__all__ = ["Connection", "translated"]

# SQLite's own 2 MB hold a small part of a large memory's index: among a
# million frames this halves what a find takes.  It is used up only as pages are read.
_CACHE_KIB = 32_000

_INSIDE = (
    "This thread is in the middle of another call of this memory (a put_many that takes its items, or what a signal "
    "handler or a finaliser has interrupted)"
)


@attrs.define
class _Handle:
    """The connection of one process, with the lock of its threads."""

    connection: apsw.Connection | None = None
    lock: threading.RLock = attrs.field(factory=threading.RLock)


class Connection:
    """
    A memory's database.

    Any thread may use it; they take turns.  After a fork the child gets a
    connection of its own to a file; a copy of what was in RAM goes on as it
    is.

    Raises:
        StorageError: As `open_database` and `schema.prepare` say.
    """

    def __init__(self, path: str, *, create: bool, read_only: bool) -> None:
        self._path = path
        self._file = _resolved(path)
        self._read_only = read_only
        self._refusal = ""
        self._closed = False
        self._is_stand_in = False
        self._handles: dict[int, _Handle] = {}
        with translated(path):
            self._handles[os.getpid()] = _Handle(self._opened(create=create))

    @classmethod
    def over(cls, opened: apsw.Connection, path: str, *, refusal: str = "") -> Connection:
        """
        Return a connection over the private database *opened*, which it owns from now on.

        *path* is what messages say; with a *refusal* it is for reading, and
        that is what a write is told.
        """
        self = cls.__new__(cls)
        self._path, self._file, self._closed = path, MEMORY, False
        self._read_only, self._refusal, self._is_stand_in = bool(refusal), refusal, False
        prepare_counting(opened)
        self._handles = {os.getpid(): _Handle(opened)}
        return self

    @property
    def path(self) -> str:
        """The path as the user gave it."""
        return self._path

    @property
    def file(self) -> str:
        """The absolute path, or ``:memory:``."""
        return self._file

    @property
    def is_read_only(self) -> bool:
        """Whether it was opened for reading only."""
        return self._read_only

    @property
    def is_stand_in(self) -> bool:
        """Whether it is a copy, made to read an older file: what is in it and not in the file is good for this time."""
        return self._is_stand_in

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """
        Yield the connection inside a read transaction: all that is read belongs together.

        Inside a write of the same thread it sees that write so far.
        """
        with self._turn() as connection:
            if connection.in_transaction:
                yield connection
            else:
                with _transaction(connection, "BEGIN"):
                    yield connection

    @contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """
        Yield the connection inside a write transaction: kept as a whole, or not at all when the block raises.

        Raises:
            ReadOnlyError: It was opened for reading only.
            UsageError: This thread is inside a write or a read.
            LockedError: Another process does not stop writing.
        """
        if self._read_only:
            raise ReadOnlyError(self._refusal or f"{self._path} was opened for reading only")
        with self._turn() as connection:
            if connection.in_transaction:
                raise UsageError(f"{_INSIDE}: write before or after it")
            with _transaction(connection, "BEGIN IMMEDIATE"):
                yield connection

    def freeze(self, refusal: str) -> None:
        """Refuse writes from now on, as if it had been opened for reading; *refusal* is what a write is told."""
        self._read_only, self._refusal = True, refusal

    def rewrite(self) -> None:
        """
        Rewrite the file: nothing of what was deleted stays in it or in its log.

        Needs as much memory as the file is large.

        Raises:
            LockedError: Another process is using the file; then bytes may be left.
        """
        with self._turn() as connection:
            connection.execute("VACUUM")
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]
        if busy:
            raise LockedError(self._path)

    @contextmanager
    def lending(self) -> Iterator[apsw.Connection]:
        """
        Yield the connection outside of any transaction, for what cannot be done inside of one.

        Raises:
            UsageError: This thread is inside a write or a read.
        """
        with self._turn() as connection:
            if connection.in_transaction:
                raise UsageError(f"{_INSIDE}: go back before or after it")
            yield connection

    def close(self) -> None:
        """Let go of the file; closing twice is fine."""
        handle = self._handle()
        with handle.lock, translated(self._path):
            self._closed = True
            if handle.connection is not None:
                handle.connection.close()
                handle.connection = None

    @contextmanager
    def _turn(self) -> Iterator[apsw.Connection]:
        handle = self._handle()
        with handle.lock, translated(self._path):
            if self._closed:
                raise ClosedError(f"The memory {self._path} is closed")
            if handle.connection is None:
                handle.connection = self._opened(create=False)
            yield handle.connection

    def _opened(self, *, create: bool) -> apsw.Connection:
        opened = open_database(self._file, create=create, read_only=self._read_only)
        try:
            opened.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            if self._read_only:
                given, opened = opened, _for_reading(opened, self._path)
                self._is_stand_in = opened is not given
            else:
                prepare(opened, self._path)
            prepare_counting(opened)
            return opened
        except BaseException:
            opened.close()
            raise

    def _handle(self) -> _Handle:
        pid = os.getpid()
        handle = self._handles.get(pid)
        if handle is None:
            # Two threads of a child may come here at once: setdefault lets
            # one of their handles win, and none is opened yet.
            handle = self._handles.setdefault(pid, self._handle_after_fork())
        return handle

    def _handle_after_fork(self) -> _Handle:
        # The lock may be held by a thread that the child does not have.
        inherited = next(reversed(self._handles.values()))
        return _Handle(inherited.connection if self._file == MEMORY else None)

    def __del__(self) -> None:
        for pid, handle in getattr(self, "_handles", {}).items():
            if pid != os.getpid() and handle.connection is not None:
                # SQLite must never close what another process opened: it would
                # copy and delete a write-ahead log that is not its own.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle.connection))


def _for_reading(opened: apsw.Connection, path: str) -> apsw.Connection:
    if not has_tables(opened):
        raise NotAStoreError(path, "it holds no memory")
    if demand_readable(opened, path) == VERSION:
        return opened
    # The file must stay as it is, so the tables that it lacks are made in a copy.
    copy = open_ram_copy(opened)
    opened.close()
    upgrade(copy)
    return copy


def _resolved(path: str) -> str:
    # Absolute, since a child may reopen it in another directory.  Only the
    # directory is resolved: the file itself must be no symlink, and that is
    # for open_database to refuse.
    if path == MEMORY:
        return path
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory or os.curdir), name)


@contextmanager
def _transaction(connection: apsw.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Let SQLite's errors in the block leave as errors of ours about *path*, which what `demands` refuses lacks."""
    import apsw

    try:
        yield
    except apsw.Error as error:
        raise _as_ours(error, path) from error
    except DamagedError as error:
        if error.path:
            raise
        raise DamagedError(path, error.offset, error.reason) from error
    except UnicodeDecodeError as error:
        if not _is_of_a_row(error):
            raise
        raise DamagedError(path, 0, "a text in it is no Unicode") from error


def _is_of_a_row(error: UnicodeDecodeError) -> bool:
    """Return whether it was raised where a row is read, not by what a caller gave us to call."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if at is None:
        return False
    # Where SQLite calls back, apsw itself is the innermost place.
    is_apsw = at.tb_frame.f_code.co_filename.endswith(".c")
    return is_apsw or str(at.tb_frame.f_globals.get("__name__")).startswith(f"{__package__}.")


def _as_ours(error: apsw.Error, path: str) -> ReplaykitError:
    import apsw

    if isinstance(error, apsw.FullError):
        return StorageError(f"The disk is full: nothing of this call is in {path}", path=path)
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return LockedError(path)
    if isinstance(error, apsw.ReadOnlyError):
        return ReadOnlyError(f"{path} cannot be written: {error}")
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        return DamagedError(path, 0, f"SQLite cannot read the file: {error}")
    if isinstance(error, apsw.TooBigError):
        return UsageError("A frame may have up to 1,000,000,000 bytes")
    return StorageError(f"Cannot use {path}: {error}", path=path)
