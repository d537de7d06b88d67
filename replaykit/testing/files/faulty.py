"""A disk that fails at a chosen operation."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Collection
from typing import Literal, TypeVar

from replaykit.protocols import FileLayer
from replaykit.testing.files.wrapping import WrappedFiles

__all__ = ["CHANGES", "EVERYTHING", "FaultyFiles"]

T = TypeVar("T")

CHANGES = frozenset({"create", "append", "sync", "truncate", "remove", "rename", "sync_directory"})
"""Operations that change the disk or promise something about it."""

EVERYTHING = CHANGES | {"open", "pread", "size", "lock", "leads_to", "names", "allocate", "reserve"}


class FaultyFiles(WrappedFiles):
    """
    Fails the operation number *fail_at* (from 0), once or from then on for ever.

    Only operations named in *counted* are numbered and fail.  With *short*
    an append is cut to half instead, and nothing but appends is counted; with
    *torn* it is cut to half and the next append fails, as on a disk that
    fills up in the midst of a write.
    Without *fail_at* nothing fails and ``count`` tells how many operations
    there were, so that a test can go through all of them.  While
    ``is_armed`` is False nothing is counted.

    Attributes:
        count: Operations counted so far.
        failures: How many of them failed or were cut.
    """

    def __init__(
        self,
        inner: FileLayer,
        *,
        fail_at: int | None = None,
        error: int = errno.EIO,
        mode: Literal["once", "for_ever"] = "once",
        short: bool = False,
        torn: bool = False,
        counted: Collection[str] = CHANGES,
    ) -> None:
        super().__init__(inner)
        self._fail_at = fail_at
        self._error = error
        self._mode = mode
        self._short = short or torn
        self._torn = torn
        self._fails_next = False
        self._counted = frozenset({"append"}) if self._short else frozenset(counted)
        self._lock = threading.RLock()
        self.is_armed = True
        self.count = 0
        self.failures = 0

    def _is_due(self, what: str) -> bool:
        if not self.is_armed or what not in self._counted:
            return False
        with self._lock:
            number, self.count = self.count, self.count + 1
            if self._fail_at is None or number < self._fail_at or (self._mode == "once" and number > self._fail_at):
                return False
            self.failures += 1
            return True

    def _unless_due(self, what: str, operation: Callable[[], T]) -> T:
        if self._is_due(what):
            raise OSError(self._error, os.strerror(self._error))
        return operation()

    def open(self, path: str, *, write: bool, create: bool) -> int:
        """Open a file, or fail; an open that creates counts as ``create``."""
        what = "create" if create else "open"
        return self._unless_due(what, lambda: self.inner.open(path, write=write, create=create))

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        """Read, or fail."""
        return self._unless_due("pread", lambda: self.inner.pread(handle, size, offset))

    def append(self, handle: int, data: bytes) -> int:
        """Append, or fail before the first byte, or append the first half."""
        if not self._short:
            return self._unless_due("append", lambda: self.inner.append(handle, data))
        if self._fails_next:
            self._fails_next = False
            raise OSError(self._error, os.strerror(self._error))
        if not self._is_due("append"):
            return self.inner.append(handle, data)
        self._fails_next = self._torn
        return self.inner.append(handle, data[: len(data) // 2])

    def sync(self, handle: int) -> None:
        """Sync, or fail without."""
        self._unless_due("sync", lambda: self.inner.sync(handle))

    def truncate(self, handle: int, size: int) -> None:
        """Cut, or fail without."""
        self._unless_due("truncate", lambda: self.inner.truncate(handle, size))

    def size(self, handle: int) -> int:
        """Return the size, or fail."""
        return self._unless_due("size", lambda: self.inner.size(handle))

    def lock(self, handle: int, *, shared: bool = False) -> bool:
        """Try to lock, or fail."""
        return self._unless_due("lock", lambda: self.inner.lock(handle, shared=shared))

    def leads_to(self, path: str, handle: int) -> bool:
        """Return whether *path* names the file, or fail."""
        return self._unless_due("leads_to", lambda: self.inner.leads_to(path, handle))

    def names(self, directory: str) -> list[str]:
        """List, or fail."""
        return self._unless_due("names", lambda: self.inner.names(directory))

    def allocate(self, handle: int, size: int) -> None:
        """Allocate, or fail."""
        self._unless_due("allocate", lambda: self.inner.allocate(handle, size))

    def reserve(self, directory: str, size: int) -> int:
        """Reserve, or fail."""
        return self._unless_due("reserve", lambda: self.inner.reserve(directory, size))

    def remove(self, path: str) -> None:
        """Remove, or fail without."""
        self._unless_due("remove", lambda: self.inner.remove(path))

    def rename(self, source: str, target: str) -> None:
        """Rename, or fail without."""
        self._unless_due("rename", lambda: self.inner.rename(source, target))

    def sync_directory(self, path: str) -> None:
        """Sync the names, or fail without."""
        self._unless_due("sync_directory", lambda: self.inner.sync_directory(path))
