"""The disk, through the operating system: the one `FileLayer` that is no test's."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from typing import Any

from replaykit.errors import NotAStoreError, StorageError, UnsupportedPlatformError

__all__ = ["SystemFiles"]

_PRIVATE = 0o600


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
            NotAStoreError: It is a directory or a device.
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
