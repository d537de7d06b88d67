"""The disk, through the operating system: the one `FileLayer` that is no test's."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any
from uuid import uuid4

from replaykit.errors import NotAStoreError, StorageError, UnsupportedPlatformError

__all__ = ["SystemFiles"]

_PRIVATE = 0o600
_PLANTED = {errno.ELOOP: "it is a symlink", errno.ENXIO: "it is a socket"}


class SystemFiles:
    """
    Files of this machine: private, never through a symlink, closed in child programs.

    Raises:
        UnsupportedPlatformError: On creation, where the platform has no file
            locks or cannot refuse symlinks.
    """

    def __init__(self) -> None:
        _fcntl()
        if not hasattr(os, "O_NOFOLLOW"):
            raise UnsupportedPlatformError("replaykit needs opens that refuse symlinks: use Linux or macOS")

    def open(self, path: str, *, write: bool, create: bool) -> int:
        """
        Open a regular file, never through a symlink; *create* demands that it is new (0600).

        Raises:
            NotAStoreError: It is a symlink, a directory, a socket or a device.
            StorageError: It would be written to and has a second name.
            OSError: The system refuses.
        """
        flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        flags |= os.O_RDWR | os.O_APPEND if write else os.O_RDONLY
        flags |= os.O_CREAT | os.O_EXCL if create else 0
        try:
            handle = os.open(path, flags, _PRIVATE)
        except IsADirectoryError as error:
            raise NotAStoreError(path, "it is a directory") from error
        except OSError as error:
            if error.errno in _PLANTED:
                raise NotAStoreError(path, _PLANTED[error.errno]) from error
            raise
        try:
            _demand_regular(path, os.fstat(handle), write=write)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        """Return up to *size* bytes at *offset*; fewer only at the end of the file."""
        data = os.pread(handle, size, offset)
        if len(data) == size or not data:
            return data
        pieces = [data]
        while data and (size := size - len(data)) > 0:
            offset += len(data)
            data = os.pread(handle, size, offset)
            pieces.append(data)
        return b"".join(pieces)

    # One builtin call: a recorded call waits for this one.
    append: Callable[[int, bytes], int] = staticmethod(os.write)
    """Write *data* at the end in one call; return how many bytes went in."""

    def sync(self, handle: int) -> None:
        """Return when all written bytes are on the device."""
        if sys.platform == "darwin":
            # fsync does not flush the drive's own cache there.
            fcntl = _fcntl()
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
        else:
            os.fdatasync(handle)

    # Bound here, so that a finaliser at the interpreter's exit looks up no global.
    close: Callable[[int], None] = staticmethod(os.close)
    """Let go of the file; a lock on it ends unless another process shares it."""

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file to *size* bytes."""
        os.ftruncate(handle, size)

    def size(self, handle: int) -> int:
        """Return the file's size in bytes."""
        return os.fstat(handle).st_size

    def lock(self, handle: int, *, shared: bool = False) -> bool:
        """Try to lock the file without waiting; True when the lock is ours."""
        fcntl = _fcntl()
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def leads_to(self, path: str, handle: int) -> bool:
        """Return whether *path* still names the open file."""
        try:
            named = os.lstat(path)
        except FileNotFoundError:
            return False
        found = os.fstat(handle)
        return (named.st_dev, named.st_ino) == (found.st_dev, found.st_ino)

    def names(self, directory: str) -> list[str]:
        """Return the names in *directory*; none where there is no such directory."""
        try:
            return os.listdir(directory or ".")
        except FileNotFoundError:
            return []

    def allocate(self, handle: int, size: int) -> None:
        """Have the device keep room for *size* bytes of the file; its size stays.  Nothing where the system cannot."""
        keep_room = _fallocate()
        if keep_room is not None:
            keep_room(handle, _KEEP_SIZE, 0, size)

    def reserve(self, directory: str, size: int) -> int:
        """
        Return a handle that holds *size* bytes of the device that *directory* is on, until it is closed.

        Raises:
            OSError: There is no such room.
        """
        handle = _open_unnamed(directory or ".")
        try:
            os.posix_fallocate(handle, 0, size)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def remove(self, path: str) -> None:
        """Remove the name *path*."""
        os.unlink(path)

    def rename(self, source: str, target: str) -> None:
        """Give *source* the name *target*, replacing what stood there."""
        os.replace(source, target)

    def sync_directory(self, path: str) -> None:
        """Return when the names in directory *path* are on the device."""
        handle = os.open(path or ".", os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


_KEEP_SIZE = 1


@cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    """Return Linux's ``fallocate``, which Python has only in a form that changes the size; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    found = ctypes.CDLL(None).fallocate
    found.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    found.restype = ctypes.c_int
    return found


def _open_unnamed(directory: str) -> int:
    with suppress(OSError, AttributeError):
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, _PRIVATE)
    path = os.path.join(directory, f".{uuid4().hex}.reserve")
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE)
    os.unlink(path)
    return handle


def _demand_regular(path: str, found: os.stat_result, *, write: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotAStoreError(path, "it is a directory or a device, not a file")
    if write and found.st_nlink > 1:
        raise StorageError(
            f"{path} has {found.st_nlink} names (hard links); give a path that only replaykit writes to",
            path=path,
        )


def _fcntl() -> Any:
    try:
        import fcntl
    except ImportError as error:
        raise UnsupportedPlatformError(
            "replaykit needs file locks, which this platform lacks: use Linux or macOS"
        ) from error
    return fcntl
