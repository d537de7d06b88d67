"""
Opens the SQLite file that holds a memory and its sessions.

Both the embedded memory and its session store come through here, so that one
place decides how a file that may be hostile is opened.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING

from replaykit.errors import DamagedError, LockedError, NotAStoreError, ReadOnlyError, StorageError, StoreNotFoundError

if TYPE_CHECKING:
    import apsw

__all__ = [
    "APPLICATION_ID",
    "BUSY_TIMEOUT_MS",
    "MEMORY",
    "attach_file",
    "demand_stored_tables",
    "harden",
    "open_blank",
    "open_database",
    "open_ram_copy",
]

MEMORY = ":memory:"
"""The path of a database that lives in RAM."""

APPLICATION_ID = 0x72706B6D
"""``rpkm``, in the database header: how one of our files is known from any other."""

BUSY_TIMEOUT_MS = 10_000
"""How long a connection waits for others."""

_BUSY_PAUSE_S = 0.002

_TABLES = ("replaykit_meta", "replaykit_part", "replaykit_session")
_HEADER = b"SQLite format 3\x00"
_MEMVID = b"MV2\x00"
_APPLICATION_ID_AT = 68


def open_database(path: str, *, create: bool = True, read_only: bool = False) -> apsw.Connection:
    """
    Open the memory file at *path*, or a fresh database in RAM for ``:memory:``.

    The file is created with mode 0600 and never opened through a symlink.
    One connection serves one thread at a time; the caller holds a lock.

    Raises:
        StoreNotFoundError: There is no file and *create* is false.
        NotAStoreError: The file is something else; it is left as it is.
        ReadOnlyError: A new file was asked for reading only.
        StorageError: The system refuses the file.
    """
    import apsw

    if path == MEMORY:
        return _configured(apsw.Connection(MEMORY), fresh=True, read_only=False)
    fresh = _prepare(path, create=create, read_only=read_only)
    try:
        connection = _opened_for_reading(path) if read_only else _opened(path, apsw.SQLITE_OPEN_READWRITE)
    except apsw.Error as error:
        raise StorageError(f"Cannot open {path}: {error}", path=path) from error
    try:
        return _configured(connection, fresh=fresh, read_only=read_only)
    except apsw.NotADBError as error:
        connection.close()
        raise NotAStoreError(path, "it is no database") from error
    except apsw.BusyError as error:
        connection.close()
        raise LockedError(path) from error
    except apsw.Error as error:
        connection.close()
        raise StorageError(f"Cannot use {path}: {error}", path=path) from error


def open_ram_copy(source: apsw.Connection) -> apsw.Connection:
    """Return a copy in RAM of all that *source* holds now."""
    import apsw

    copy = apsw.Connection(MEMORY)
    with copy.backup("main", source, "main") as backup:
        backup.step()
    return _configured(copy, fresh=False, read_only=False)


def open_blank(path: str = "") -> apsw.Connection:
    """
    Open an empty database to be filled: the empty file *path*, ``:memory:``, or one that is nameless and ends here.

    A nameless one lives in RAM as far as it fits the cache, the rest in a
    file without a name.  What is half written is worth nothing, so nothing
    is logged or synced: whoever fills it makes it durable.  `harden` it
    before it is used.
    """
    import apsw

    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_NOFOLLOW
    connection = apsw.Connection(path, flags=flags)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "mmap_size=0", "secure_delete=ON", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    return connection


def harden(connection: apsw.Connection, *, read_only: bool = False) -> apsw.Connection:
    """Return the filled database *connection*, ready to be used as any that was opened."""
    for pragma in ("journal_mode=MEMORY", "secure_delete=OFF", "cache_size=-2000"):
        connection.execute(f"PRAGMA {pragma}")
    return _configured(connection, fresh=False, read_only=read_only)


def attach_file(connection: apsw.Connection, path: str, name: str) -> None:
    """Attach the database file *path*, which another connection of this process has open, for reading as *name*."""
    # As `_opened_for_reading`, whose connection sees to what is left behind.
    log = f"{path}-wal"
    is_fixed = not (os.path.exists(log) or os.access(path, os.W_OK))
    connection.execute(f"ATTACH ? AS {name}", (_location(path, "immutable=1" if is_fixed else "mode=ro"),))


def demand_stored_tables(connection: apsw.Connection, path: str) -> None:
    """
    Return if the tables of recordings, as far as they are there, are tables of stored columns.

    A view, a virtual table or a generated column would compute what is read
    from it, and a short file could so claim gigabytes.

    Raises:
        DamagedError: One of them is something else.
    """
    for table in _TABLES:
        found = connection.execute("SELECT type, rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchall()
        if not found:
            continue
        columns = connection.execute(f"PRAGMA table_xinfo({table})").fetchall()
        if [kind for kind, page in found if page] != ["table"] or any(column[-1] for column in columns):
            raise DamagedError(path, 0, f"{table} is not a table of stored values")


def _opened(path: str, flags: int) -> apsw.Connection:
    import apsw

    return apsw.Connection(path, flags=flags | apsw.SQLITE_OPEN_NOFOLLOW)


def _opened_for_reading(path: str) -> apsw.Connection:
    """
    Open *path* so that nothing beside it is left behind.

    A read-only connection would make SQLite's -wal and -shm files and could
    not remove them again.
    """
    import apsw

    log = f"{path}-wal"
    if os.path.exists(log) and os.path.getsize(log) > 0:
        # A writer is at work, or was killed: what it wrote is in there, and
        # its files are there already.
        return _opened(path, apsw.SQLITE_OPEN_READONLY)
    if os.access(path, os.W_OK) and os.access(os.path.dirname(path) or ".", os.W_OK):
        # The last to close such a connection removes both files; that nothing
        # is written is seen to by query_only.
        return _opened(path, apsw.SQLITE_OPEN_READWRITE)
    # Nobody can write here, so nothing can change while we read.
    return _opened(_location(path, "immutable=1"), apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)


def _location(path: str, how: str) -> str:
    return f"file:{urllib.parse.quote(os.path.abspath(path))}?{how}"


def _prepare(path: str, *, create: bool, read_only: bool) -> bool:
    """Create the file if asked, check its kind; return whether it is empty (new)."""
    try:
        if create and not read_only:
            # SQLite gives its -wal and -shm files the mode of the main file,
            # so the main file must be private before SQLite sees it.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        if create and not read_only:
            raise StorageError(f"Cannot create {path}: make its folder first", path=path) from error
        raise StoreNotFoundError(path) from error
    except OSError as error:
        if error.errno == errno.ELOOP and os.path.islink(path):
            raise StorageError(f"{path} is a symbolic link: name the file that it leads to", path=path) from error
        raise StorageError(f"Cannot open {path}: {error.strerror}", path=path) from error
    try:
        return _is_empty_or_ours(path, handle, read_only=read_only)
    finally:
        os.close(handle)


def _is_empty_or_ours(path: str, handle: int, *, read_only: bool) -> bool:
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise NotAStoreError(path, "it is a directory or a device, not a file")
    header = os.pread(handle, 100, 0)
    if not header:
        if read_only:
            raise ReadOnlyError(f"{path} is empty: open it for writing first")
        return True
    if header.startswith(_MEMVID):
        raise NotAStoreError(
            path,
            "it is a memvid memory. Open it with memvid_sdk, and record what it does with "
            "replaykit.wrap(memory, store='runs.rpk'); replaykit.load is what reads recordings",
        )
    if header[: len(_HEADER)] != _HEADER:
        raise NotAStoreError(path, "it is no SQLite database")
    found = int.from_bytes(header[_APPLICATION_ID_AT : _APPLICATION_ID_AT + 4], "big")
    # A crash between the creation of the file and its first commit leaves a
    # WAL database whose header is still blank; the check below decides then.
    if found not in (APPLICATION_ID, 0):
        raise NotAStoreError(path, "it is another program's database")
    return False


def _configured(connection: apsw.Connection, *, fresh: bool, read_only: bool) -> apsw.Connection:
    import apsw

    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    for pragma in ("cell_size_check=ON", "mmap_size=0", "synchronous=NORMAL", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    if read_only:
        connection.execute("PRAGMA query_only=ON")
        _demand_ours(connection)
        return connection
    _patiently(lambda: _take_on(connection, fresh=fresh))
    return connection


def _take_on(connection: apsw.Connection, *, fresh: bool) -> None:
    """Make a database one of ours if it is empty, else see that it is; let it write ahead."""
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if fresh or not tables:
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    else:
        _demand_ours(connection)
    if connection.filename:
        connection.execute("PRAGMA journal_mode=WAL")


def _patiently(work: Callable[[], None]) -> None:
    """Do *work* again while others are in its way: SQLite itself does not wait where a database becomes one of ours."""
    import apsw

    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            return work()
        except apsw.BusyError:
            if time.monotonic() >= until:
                raise
        time.sleep(_BUSY_PAUSE_S)


def _demand_ours(connection: apsw.Connection) -> None:
    if connection.execute("PRAGMA application_id").get != APPLICATION_ID:
        path = connection.filename
        connection.close()
        raise NotAStoreError(path, "it is another program's database")
