"""A new file that appears under its name whole or not at all, and never in place of another."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from replaykit.errors import StorageError, UsageError
from replaykit.protocols import FileLayer
from replaykit.storage.files import SystemFiles

__all__ = ["LEFTOVER_SUFFIX", "Draft", "drafted", "leftovers_beside"]

LEFTOVER_SUFFIX = ".fork"
"""How the name of a file in the making ends: ``notes.mv.`` 32 hex digits ``.fork``."""

_HEX_DIGITS = 32


class Draft:
    """A private file in the making beside *path*, locked by who makes it."""

    def __init__(self, files: FileLayer, path: str) -> None:
        self.path = f"{path}.{uuid4().hex}{LEFTOVER_SUFFIX}"
        self._files = files
        self._target = path
        self._handle = files.open(self.path, write=True, create=True)
        files.lock(self._handle)

    def place(self) -> None:
        """
        Give it its name; what was written is on the device then.

        Raises:
            UsageError: The name is taken; what has it is untouched.
            OSError: The system refuses.
        """
        self._files.sync(self._handle)
        try:
            _rename_new(self.path, self._target)
        except FileExistsError as error:
            raise UsageError(_TAKEN.format(self._target)) from error
        self._files.sync_directory(os.path.dirname(self._target))

    def close(self) -> None:
        """Let go of it; without a name of its own it is gone."""
        with suppress(FileNotFoundError):
            self._files.remove(self.path)
        self._files.close(self._handle)


_TAKEN = "{0} exists: nothing is ever overwritten. Give another path, or remove it first"


@contextmanager
def drafted(path: str) -> Iterator[Draft]:
    """
    Yield an empty file to be filled and placed at the absolute *path*; what a killed maker left there is removed.

    Raises:
        UsageError: There is something at *path*.
        StorageError: The system refuses.
    """
    files = SystemFiles()
    if os.path.lexists(path):
        raise UsageError(_TAKEN.format(path))
    try:
        _remove_leftovers(files, path)
        draft = Draft(files, path)
    except FileNotFoundError as error:
        raise StorageError(f"Cannot create {path}: make its folder first", path=path) from error
    except OSError as error:
        raise _as_ours(error, path) from error
    try:
        yield draft
    except OSError as error:
        raise _as_ours(error, path) from error
    finally:
        draft.close()


def _as_ours(error: OSError, path: str) -> StorageError:
    if isinstance(error, StorageError):
        return error
    return StorageError(f"Cannot create {path}: {error.strerror}", path=path)


def leftovers_beside(files: FileLayer, path: str) -> list[str]:
    """Return the files that were or are in the making for *path*."""
    folder, name = os.path.split(path)
    length = len(name) + 1 + _HEX_DIGITS + len(LEFTOVER_SUFFIX)
    return [
        os.path.join(folder, each)
        for each in files.names(folder)
        if each.startswith(f"{name}.") and each.endswith(LEFTOVER_SUFFIX) and len(each) == length
    ]


def _remove_leftovers(files: FileLayer, path: str) -> None:
    for leftover in leftovers_beside(files, path):
        with suppress(OSError):
            handle = files.open(leftover, write=False, create=False)
            try:
                # Who makes it holds its lock, however slow it is.
                if files.lock(handle):
                    files.remove(leftover)
            finally:
                files.close(handle)


# -- renaming without replacing ---------------------------------------------------

_AT_FDCWD = -100
_NOREPLACE = 1
_EXCL = 4


def _rename_new(source: str, target: str) -> None:
    """
    Give *source* the name *target* if that is free.

    Raises:
        FileExistsError: It is not.
        OSError: The system refuses.
    """
    number = _renamed(os.fsencode(source), os.fsencode(target))
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        # This file system cannot do it in one step.  Killed between the two
        # the file is there, whole, under both names.
        os.link(source, target, follow_symlinks=False)
        os.unlink(source)
    elif number:
        raise OSError(number, os.strerror(number), target)


def _renamed(source: bytes, target: bytes) -> int:
    """Return 0 once it is done, else the number of the error."""
    system = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        done = system.renamex_np(source, target, _EXCL)
    elif hasattr(system, "renameat2"):
        done = system.renameat2(_AT_FDCWD, source, _AT_FDCWD, target, _NOREPLACE)
    else:
        return errno.ENOSYS
    return ctypes.get_errno() if done else 0
