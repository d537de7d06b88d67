"""Puts a recording in its place, whole or not at all and never over something that is none, and takes one away."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from uuid import uuid4

from replaykit.errors import LockedError, NotAStoreError, ReadOnlyError, StorageError, StoreNotFoundError
from replaykit.format.block import MAGIC
from replaykit.protocols import FileLayer
from replaykit.storage.files import SystemFiles
from replaykit.storage.segment_file import OpenFile, open_file

__all__ = ["one_at_a_time", "remove_file", "write_recording"]

_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_ANY_MAY_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_CHUNK_BYTES = 8 << 20
_NAP_SECONDS = 0.01


@contextmanager
def one_at_a_time(path: str, *, wait_s: float = 60) -> Iterator[None]:
    """
    Be the only one in such a block for recordings in the folder of *path*, of all threads and processes.

    So what a block reads there is still so when it writes.  The folder is
    made where it is missing.  A killed process is in no block any more.

    Raises:
        LockedError: Another one stays in its block for *wait_s* seconds.
        ReadOnlyError, StorageError: The system refuses.
    """
    files = SystemFiles()
    handle = _open_folder(path)
    try:
        until = time.monotonic() + wait_s
        while not _is_locked(files, handle, path):
            if time.monotonic() >= until:
                error = LockedError(path)
                error.add_note(f"Another process has been writing a recording in its folder for {wait_s:g} seconds")
                raise error
            time.sleep(_NAP_SECONDS)
        yield
    finally:
        files.close(handle)


def _open_folder(path: str) -> int:
    # The folder itself is locked: the recording is another file once it is
    # replaced, and a file for the lock alone would be left in the project.
    folder = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _as_ours(error, path) from error


def _is_locked(files: FileLayer, handle: int, path: str) -> bool:
    """Return whether the lock is ours now."""
    try:
        return files.lock(handle)
    except OSError as error:
        raise _as_ours(error, path) from error


def write_recording(path: str | os.PathLike[str], data: bytes, *, files: FileLayer | None = None) -> None:
    """
    Make *data* the recording at *path*, in place of the one that is there; on the device when this returns.

    Folders are made where they are missing.  Who reads the old recording goes
    on reading it.  A killed process leaves the old one, and maybe a file
    ``.replaykit-*.new`` beside it.  Nothing is written where *data* is there.

    Raises:
        NotAStoreError: Something else is at *path*, also a symlink; it is left as it is.
        LockedError: A recorder writes to the store at *path*.
        ReadOnlyError: The folder or the file takes no writes.
        StorageError: The system refuses; what was there is there still.
    """
    files = files or SystemFiles()
    place = os.path.abspath(os.fspath(path))
    try:
        if _holds(files, place, data):
            return
        os.makedirs(os.path.dirname(place), exist_ok=True)
        _replace(files, place, data)
    except StorageError:
        raise
    except OSError as error:
        raise _as_ours(error, os.fspath(path)) from error


def _holds(files: FileLayer, place: str, data: bytes) -> bool:
    """Return whether *data* is at *place* already; raise where something is that must stay."""
    try:
        file = open_file(files, place)
    except StoreNotFoundError:
        return False
    with closing(file):
        size = file.size()
        if size and file.read(0, len(MAGIC)) != MAGIC:
            raise NotAStoreError(place, "it begins with something else")
        if not files.lock(file.handle, shared=True):
            raise LockedError(place)
        if size == len(data) and file.read(0, size) == data:
            return True
        if not os.fstat(file.handle).st_mode & _ANY_MAY_WRITE:
            # A rename asks the folder only.
            raise PermissionError(errno.EACCES, "the file is read-only", place)
    return False


def _replace(files: FileLayer, place: str, data: bytes) -> None:
    folder = os.path.dirname(place)
    # Not made of the recording's name, which may be as long as names can be.
    draft = os.path.join(folder, f".replaykit-{uuid4().hex}.new")
    with closing(OpenFile(files, draft, write=True, create=True)) as file:
        try:
            _append_whole(file, data)
            files.sync(file.handle)
            files.rename(draft, place)
        except BaseException:
            with suppress(OSError):
                files.remove(draft)
            raise
    files.sync_directory(folder)


def _append_whole(file: OpenFile, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        written = file.files.append(file.handle, bytes(rest[:_CHUNK_BYTES]))
        if written <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[written:]


def remove_file(path: str) -> None:
    """
    Remove what is at *path*, if there is something.

    Raises:
        ReadOnlyError: The folder takes no writes.
        StorageError: The system refuses.
    """
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _as_ours(error, path) from error


def _as_ours(error: OSError, path: str) -> StorageError | ReadOnlyError:
    if error.errno in _READ_ONLY:
        return ReadOnlyError(
            f"Cannot change the recording {path}: {error.strerror}. Where recordings are only to be read play them "
            "and record nothing: --replay-mode=none, or REPLAYKIT_MODE=none"
        )
    return StorageError(f"Cannot change the recording {path}: {error.strerror}", path=path)
