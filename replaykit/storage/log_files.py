"""
Live logs: the private log of one open session, beside its store or in RAM.

A file log is named ``<store>.<session id>.live`` and holds whole records in
the order in which they were appended.  Its writer holds an exclusive lock on
it for as long as the session is open; a log without a lock is a dead writer's.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from uuid import UUID

from replaykit.errors import ClosedError, LockedError, StorageError
from replaykit.protocols import FileLayer
from replaykit.storage.guard import abandon_in_child
from replaykit.storage.reserve import Reserve, means_full
from replaykit.storage.syncing import SharedSync

__all__ = ["FileLog", "MemoryLog", "are_handles_scarce", "log_path", "logs_beside", "session_of_log"]

_NAME = re.compile(r"\.([0-9a-f]{32})\.live\Z")
_CLOSED = -1
_LOCK_ATTEMPTS = 1000
_LOCK_PAUSE_S = 0.001
_AHEAD_BYTES = 1 << 20
_LONG_BYTES = 64 << 10


def log_path(store_path: str, session_id: UUID) -> str:
    """Return where the live log of *session_id* is, beside the store at *store_path*."""
    return f"{store_path}.{session_id.hex}.live"


def logs_beside(files: FileLayer, store_path: str) -> Sequence[FileLog]:
    """Return the live logs beside the store at *store_path*, ordered by name."""
    directory, name = os.path.split(store_path)
    with _told("list", directory or "."):
        names = sorted(files.names(directory))
    parsed = map(session_of_log, names)
    return [FileLog(files, store_path, each[1]) for each in parsed if each is not None and each[0] == name]


def session_of_log(name: str) -> tuple[str, UUID] | None:
    """Return the store's name and the session that a live log's file *name* says; None for other names."""
    match = _NAME.search(name)
    return None if match is None else (name[: match.start()], UUID(match[1]))


@contextmanager
def _told(doing: str, path: str) -> Iterator[None]:
    """Say what could not be done where; that a file is missing, or is there, is for the caller."""
    try:
        yield
    except (FileNotFoundError, FileExistsError, StorageError):
        raise
    except OSError as error:
        raise StorageError(f"Cannot {doing} {path}: {error.strerror}", path=path) from error


class FileLog:
    """
    A live log in a file.

    A fresh object only names the log and can read it; `create` and `claim`
    make it the writer.  ``descriptor`` is what `append` writes to, -1 when
    this object is not the writer.  With *align* each record is padded with
    zeros to so many bytes, for devices that tear a sector which they write
    again.  *reserve* makes room for the end on a full disk.
    """

    def __init__(
        self,
        files: FileLayer,
        store_path: str,
        session_id: UUID,
        *,
        align: int = 0,
        reserve: Reserve | None = None,
    ) -> None:
        self._files = files
        self._append = files.append
        self._session_id = session_id
        self._reader = _CLOSED
        self._named = False
        self.align = align
        self._reserve = reserve
        self._allocated = 0
        self._shared_sync: SharedSync | None = None
        self.store_path = store_path
        self.descriptor = _CLOSED

    @property
    def session_id(self) -> UUID:
        """The session whose log this is."""
        return self._session_id

    @property
    def path(self) -> str:
        """Where it is."""
        return log_path(self.store_path, self._session_id)

    @property
    def size(self) -> int:
        """Bytes appended so far; 0 once it is removed."""
        with suppress(FileNotFoundError), _told("read", self.path):
            return self._files.size(self._readable())
        return 0

    def append(self, record: bytes) -> None:
        """
        Append one whole record; it survives ``kill -9`` once this returns.

        Raises:
            OSError: The record is not kept whole; what was written of it is
                left as a torn record that readers skip.
        """
        if self.align:
            record = record.ljust(-(-len(record) // self.align) * self.align, b"\0")
        if self._append(self.descriptor, record) != len(record):
            self._append_again(record)

    def append_end(self, record: bytes) -> None:
        """
        Append the last record; where the disk is full the store's reserve makes room for it.

        Raises:
            OSError: As for `append`.
        """
        try:
            self.append(record)
        except OSError as error:
            if not means_full(error) or self._reserve is None or not self._reserve.give():
                raise
            self.append(record)

    def _append_again(self, record: bytes) -> None:
        # The whole record, not its rest: another thread may have appended in
        # between, and a record in two pieces is no record.
        if self._append(self.descriptor, record) != len(record):
            raise OSError(errno.ENOSPC, "a record could not be written whole", self.path)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes from *offset*."""
        with _told("read", self.path):
            return self._files.pread(self._readable(), size, offset)

    def sync(self) -> None:
        """
        Return when everything appended before, and the log's name, are on the device.

        Threads that ask at the same time share one sync.

        Raises:
            OSError: A sync failed, now or earlier: it is never tried again.
        """
        # Before it is asked whether the log is open, since it may be closed right now.
        shared = self._shared_sync
        size = self._written()
        assert shared is not None  # a writer has one
        shared.through(size)

    def allocate_ahead(self) -> None:
        """Keep room on the device for what a long session appends next."""
        size = self._written()
        if size > _LONG_BYTES and self._allocated < size + _AHEAD_BYTES // 2:
            self._allocated = size + _AHEAD_BYTES
            self._files.allocate(self._writable(), self._allocated)

    def _written(self) -> int:
        return self._files.size(self._writable())

    def _sync_now(self) -> None:
        self._files.sync(self._writable())
        if not self._named:
            self._files.sync_directory(os.path.dirname(self.path))
            self._named = True

    def has_writer(self) -> bool:
        """Return whether a living process, this one included, still writes to it."""
        # A fresh descriptor: locks belong to descriptors, so this also sees
        # a writer in our own process.
        with suppress(FileNotFoundError), _told("look at", self.path):
            probe = self._files.open(self.path, write=False, create=False)
            try:
                return not self._files.lock(probe, shared=True)
            finally:
                self._files.close(probe)
        return False

    def create(self) -> None:
        """
        Make the file and be its writer.

        Raises:
            LockedError: The session has a log already and a living writer.
            StorageError: It has a log that is not recovered yet, the system
                refuses, or logs hold half of the files that this process may open.
        """
        self._demand_handles()
        try:
            with _told("create", self.path):
                # Until it is locked it looks like a dead writer's, and a
                # recovery elsewhere may remove it.
                while not self._become_writer(self._files.open(self.path, write=True, create=True)):
                    continue
        except FileExistsError as error:
            if self.has_writer():
                raise LockedError(self.path) from error
            raise StorageError(f"{self.path} exists: recover it first", path=self.path) from error
        except FileNotFoundError as error:
            raise StorageError(f"Cannot create {self.path}: its folder is gone", path=self.path) from error

    def _demand_handles(self) -> None:
        # What is left is the program's: without files it could not even accept a connection.
        most = _most_handles()
        if 2 * len(_held.logs) >= most > 0:
            raise StorageError(
                f"Cannot create {self.path}: {len(_held.logs)} open sessions hold half of the {most} files that this "
                "process may open. Raise the limit (ulimit -n)",
                path=self.path,
            )

    def claim(self) -> bool:
        """
        Become its writer if nobody is; True when it is ours now.

        To others it is still a log without a writer, which they can read and
        not claim.
        """
        if self.descriptor != _CLOSED:
            return True
        with suppress(FileNotFoundError), _told("claim", self.path):
            handle = self._files.open(self.path, write=True, create=False)
            with self._closing_unless_held(handle):
                # Somebody may have published and removed it between the two steps.
                is_free = self._files.lock(handle) and self._files.leads_to(self.path, handle)
                # A shared lock keeps other recoveries away all the same.
                if is_free and self._files.lock(handle, shared=True):
                    self._hold(handle)
        return self.descriptor != _CLOSED

    def remove(self) -> None:
        """Drop the log: all of it is published."""
        try:
            with suppress(FileNotFoundError):
                self._files.remove(self.path)
        finally:
            # Also when the name stays: whoever finds it may recover it then.
            self.close()

    def close(self) -> None:
        """Let go of the file and of the writer's lock; it stays where it is."""
        handles, self.descriptor, self._reader = (self.descriptor, self._reader), _CLOSED, _CLOSED
        # After the descriptor: see `sync`.  The two hold each other.
        self._shared_sync = None
        _held.logs.discard(self)
        for handle in handles:
            if handle != _CLOSED:
                self._files.close(handle)

    # A forked child shares the lock with its parent: unlocking in the child
    # would unlock the parent's log, closing the child's descriptor does not.
    # `close` never unlocks, so both are the same.
    def abandon(self) -> None:
        """Close this process's descriptors only: for a forked child; the parent keeps its lock."""
        self.close()

    def _become_writer(self, handle: int) -> bool:
        """Lock the file that was just made and hold it; False when it lost its name meanwhile."""
        with self._closing_unless_held(handle):
            for _ in range(_LOCK_ATTEMPTS):
                if self._files.lock(handle):
                    if not self._files.leads_to(self.path, handle):
                        return False
                    self._hold(handle)
                    return True
                # Another process is just asking whether the log has a writer, or
                # removes it as a dead one's; on a busy machine that takes a while.
                time.sleep(_LOCK_PAUSE_S)
        raise LockedError(self.path)

    @contextmanager
    def _closing_unless_held(self, handle: int) -> Iterator[None]:
        try:
            yield
        finally:
            if self.descriptor != handle:
                self._files.close(handle)

    def _hold(self, handle: int) -> None:
        self.descriptor = handle
        _held.logs.add(self)
        # Made for writers only: it refers back to the log, and a reader's
        # descriptor must close as soon as nobody looks at it.
        self._shared_sync = SharedSync(self._sync_now, self._written)

    def _writable(self) -> int:
        if self.descriptor == _CLOSED:
            raise ClosedError(f"{self.path} is closed")
        return self.descriptor

    def _readable(self) -> int:
        if self.descriptor != _CLOSED:
            return self.descriptor
        if self._reader == _CLOSED:
            self._reader = self._files.open(self.path, write=False, create=False)
        return self._reader

    def __del__(self) -> None:
        # Only a reader's descriptor: a writer that is dropped without a close
        # keeps its lock, as it keeps its log.  At the interpreter's exit this
        # module's names may be gone, so nothing here looks one up.
        reader = getattr(self, "_reader", -1)
        if reader >= 0:
            try:
                self._files.close(reader)
            except OSError:
                return

    def __repr__(self) -> str:
        return f"<FileLog {self.path}>"


class _HeldLogs:
    """The logs that this process writes, also those that nobody refers to any more."""

    def __init__(self) -> None:
        self.logs: set[FileLog] = set()
        abandon_in_child(self)

    def abandon(self) -> None:
        for log in list(self.logs):
            with suppress(OSError):
                log.abandon()


_held = _HeldLogs()


def are_handles_scarce() -> bool:
    """Return whether live logs hold three quarters of the files that they may, which is half of the process's."""
    return 8 * len(_held.logs) >= 3 * _most_handles() > 0


def _most_handles() -> int:
    """Return how many files this process may open, -1 for any number."""
    # Where the platform has no such module, opening a store has said so before.
    import resource

    return int(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


class MemoryLog:
    """A live log in RAM, for stores that live there."""

    align = 0

    def __init__(self, session_id: UUID) -> None:
        self._session_id = session_id
        self._data = bytearray()
        self._writing = True
        self._removed = False
        # One builtin call, so whole under the interpreter's lock.
        self.append: Callable[[bytes], None] = self._data.extend
        self.append_end = self.append

    @property
    def session_id(self) -> UUID:
        """The session whose log this is."""
        return self._session_id

    @property
    def path(self) -> str:
        """Empty: it is nowhere."""
        return ""

    @property
    def size(self) -> int:
        """Bytes appended so far."""
        return len(self._data)

    @property
    def removed(self) -> bool:
        """Whether it was dropped."""
        return self._removed

    def read(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes from *offset*."""
        return bytes(self._data[offset : offset + size])

    def sync(self) -> None:
        """Return at once: there is no device."""

    def allocate_ahead(self) -> None:
        """Return at once: there is no device."""

    def has_writer(self) -> bool:
        """Return whether it is open."""
        return self._writing

    def claim(self) -> bool:
        """Become its writer if nobody is; True when it is ours now."""
        if self._writing or self._removed:
            return False
        self._writing = True
        return True

    def remove(self) -> None:
        """Drop the log: all of it is published."""
        self._removed = True
        self._writing = False
        self._data.clear()

    def close(self) -> None:
        """Let go of it; it stays where it is."""
        self._writing = False

    def abandon(self) -> None:
        """Let go of it in a forked child, which has a copy."""
        self.close()
