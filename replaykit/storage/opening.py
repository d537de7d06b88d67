"""
Opens the store at a location, whatever kind it is.

A process opens a store for writing once, however many recorders name it: a
second request gets the same store, and the last `close` closes it.  Who asks
while it is being closed waits for that.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Sequence
from uuid import UUID

from replaykit.errors import ClosedError, NotAStoreError, StorageError, StoreNotFoundError
from replaykit.format.block import MAGIC
from replaykit.format.entries import Card, Part
from replaykit.model import Compaction, Depth, Verification
from replaykit.protocols import Advance, Log, Store, StoredSession
from replaykit.storage.compaction import silent
from replaykit.storage.database import MEMORY
from replaykit.storage.directory_store import DirectoryStore
from replaykit.storage.file_store import FileStore
from replaykit.storage.guard import Guard
from replaykit.storage.options import StoreOptions
from replaykit.storage.quota import is_full
from replaykit.storage.sqlite_store import SqliteStore

__all__ = ["DEFAULT_DIRECTORY", "SharedStore", "kind_of", "open_store"]

DEFAULT_DIRECTORY = ".replaykit"
"""The directory that holds recordings where no store is named."""

_DATABASE = b"SQLite format 3\x00"
_MEMORY_SUFFIX = ".mv"

_AnyStore = FileStore | DirectoryStore | SqliteStore


class SharedStore:
    """A store that several recorders of this process hold; it closes with the last of them."""

    def __init__(self, store: _AnyStore) -> None:
        self._store = store
        self._closing = Guard()
        self.holders = 1

    @property
    def location(self) -> str:
        """The path as the user gave it, for messages."""
        return self._store.location

    @property
    def closed(self) -> bool:
        """Whether its last holder closed it."""
        return self.holders == 0

    def create_log(self, session_id: UUID) -> Log:
        """Make the live log of a new (or resumed) session and be its writer."""
        return self._opened().create_log(session_id)

    def logs(self) -> Sequence[Log]:
        """Return the live logs beside this store, whoever writes them."""
        return self._opened().logs()

    def publish(self, part: Part) -> None:
        """Append a part; on the device when this returns."""
        self._opened().publish(part)

    def cards(self) -> Sequence[Card]:
        """Return one card per published session, in order of publishing."""
        return self._opened().cards()

    def read(self, session_id: UUID) -> StoredSession:
        """Return the published session; SessionNotFoundError when there is none."""
        return self._opened().read(session_id)

    def delete(self, session_id: UUID) -> None:
        """Delete a published session durably; SessionNotFoundError when there is none."""
        self._opened().delete(session_id)

    def erase(self, session_id: UUID) -> None:
        """Delete a session so that no byte of it stays; SessionNotFoundError when there is nothing of it."""
        self._opened().erase(session_id)

    def compact(self, *, progress: Advance = silent) -> Compaction:
        """Rewrite the files with large blocks and without what was deleted."""
        return self._opened().compact(progress=progress)

    def idle(self) -> None:
        """Nothing is written for now: say on disk that all of it was synced."""
        self._opened().idle()

    def is_full(self) -> bool:
        """Return whether it holds as much as its options allow."""
        return is_full(self._opened())

    def verify(self, *, depth: Depth = "full", progress: Advance = silent) -> Verification:
        """Read every byte and every session; the result is true only if all of it is accounted for."""
        return self._opened().verify(depth=depth, progress=progress)

    def close(self) -> None:
        """Let go of it; the store closes when its last holder does.  Once too often is fine."""
        with self._closing.lock:
            stores = _opened.of_this_process()
            with stores.lock:
                if self.holders == 0:
                    return
                self.holders -= 1
                if self.holders:
                    return
            # Known until its locks are free: who wants it meanwhile waits
            # for that, and for nothing else.
            try:
                self._store.close()
            finally:
                with stores.lock:
                    stores.forget(self)

    def wait_until_closed(self) -> None:
        """Return once a `close` that is under way in another thread is through; at once if it is this thread's own."""
        with self._closing.lock:
            return

    def _opened(self) -> _AnyStore:
        if self.holders == 0:
            raise ClosedError(f"{self._store.location} is closed")
        return self._store

    def __repr__(self) -> str:
        return f"<SharedStore of {self._store!r}, {self.holders} holders>"


class _OpenedStores:
    """The stores that this process has open for writing, by what they are on the disk."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._pid = os.getpid()
        self._stores: dict[tuple[int, int], SharedStore] = {}

    def of_this_process(self) -> _OpenedStores:
        """Forget what a parent process had open: a child opens its own."""
        if self._pid != os.getpid():
            self.lock = threading.RLock()
            self._stores = {}
            self._pid = os.getpid()
        return self

    def find(self, path: str) -> SharedStore | None:
        """Return the open store at *path*, with one more holder unless it is being closed."""
        shared = self._stores.get(_identity(path) or (0, 0))
        if shared is not None and not shared.closed:
            shared.holders += 1
        return shared

    def keep(self, path: str, store: _AnyStore) -> SharedStore:
        """Hold *store* for the next who asks."""
        shared = SharedStore(store)
        identity = _identity(path)
        if identity is not None:
            self._stores[identity] = shared
        return shared

    def forget(self, shared: SharedStore) -> None:
        """Let the next who asks open it anew."""
        self._stores = {identity: other for identity, other in self._stores.items() if other is not shared}


_opened = _OpenedStores()


def open_store(
    location: str | os.PathLike[str], *, read_only: bool = False, options: StoreOptions | None = None
) -> Store:
    """
    Return the `Store` at *location*.

    A path that ends in a slash or is a folder is a directory store, one that
    is a SQLite database or ends in ``.mv`` is a memory's own file,
    ``:memory:`` is a store in RAM, anything else is a store file.  For
    writing it is created where it is missing; *options* count for the first
    who opens it.

    Raises:
        StoreNotFoundError: *read_only*, and there is nothing; nothing is created.
        NotAStoreError: There is something else; it is left as it is.
        LockedError: Another process writes to it.
        DamagedError: It cannot be written to without losing what was kept.
    """
    path = os.fspath(location)
    if path == MEMORY:
        return SqliteStore(MEMORY)
    if os.path.islink(path) and not os.path.isdir(path):
        # Also where the target is open already: what a link leads to may
        # change between two looks.
        raise StorageError(f"{path} is a symbolic link: name the file that it leads to", path=path)
    if read_only:
        return _make(path, read_only=True)
    stores, closing = _opened.of_this_process(), None
    while True:
        with stores.lock:
            found = stores.find(path)
            if found is None or found is closing:
                return stores.keep(path, _make(path, read_only=False, options=options))
            if not found.closed:
                return found
        found.wait_until_closed()
        closing = found


def _make(path: str, *, read_only: bool, options: StoreOptions | None = None) -> _AnyStore:
    kind = kind_of(path)
    if kind is None and read_only:
        raise StoreNotFoundError(path)
    if kind == "directory" or (kind is None and path.endswith(os.sep)):
        is_default = os.path.basename(os.path.normpath(path)) == DEFAULT_DIRECTORY
        return DirectoryStore(path, read_only=read_only, gitignore=is_default, options=options)
    if kind == "database" or (kind is None and path.endswith(_MEMORY_SUFFIX)):
        return SqliteStore(path, read_only=read_only, options=options)
    return FileStore(path, read_only=read_only, options=options)


def kind_of(path: str) -> str | None:
    """Return what is at *path*: directory, database or file; None when nothing is."""
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            return "directory"
        if not stat.S_ISREG(found.st_mode):
            raise NotAStoreError(path, "it is a device, not a file")
        with open(path, "rb", buffering=0) as file:
            begins = file.read(max(len(_DATABASE), len(MAGIC)))
    except FileNotFoundError:
        return None
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"Cannot open {path}: {error.strerror}", path=path) from error
    if begins == _DATABASE or (not begins and path.endswith(_MEMORY_SUFFIX)):
        return "database"
    return "file"


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
