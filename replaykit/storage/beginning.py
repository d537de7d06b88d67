"""Makes the file or the directory of a store, or takes the lock on a file that is there."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from replaykit.errors import LockedError, StorageError
from replaykit.format.segment import Origin, start_segment
from replaykit.protocols import FileLayer
from replaykit.storage.segment_file import OpenFile, open_file

__all__ = ["begin_directory", "begin_file", "open_for_writing"]

_WRITER = "replaykit"
_ATTEMPTS = 50
_PAUSE_S = 0.001


def open_for_writing(files: FileLayer, path: str, *, clock: Callable[[], int], align: int) -> OpenFile:
    """
    Return the locked file at *path*, which is made where it is missing.

    Raises:
        LockedError: Somebody writes to it.
        StorageError: The system refuses, or it is something else.
    """
    try:
        for _ in range(_ATTEMPTS):
            try:
                return begin_file(files, path, clock=clock, align=align)
            except FileExistsError:
                file = _locked_unless_empty(files, path)
            if file is not None:
                return file
            time.sleep(_PAUSE_S)
        return _begin_empty(files, path, clock=clock, align=align)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"Cannot open {path}: {error.strerror}", path=path) from error


def begin_file(
    files: FileLayer, path: str, *, clock: Callable[[], int], align: int, origin: Origin | None = None
) -> OpenFile:
    """
    Return a new file at *path*, locked, that holds the head of a segment.

    Raises:
        FileExistsError: There is something at *path*.
        StorageError: The system refuses; nothing is left behind.
    """
    try:
        file = OpenFile(files, path, write=True, create=True)
    except (FileExistsError, StorageError):
        raise
    except FileNotFoundError as error:
        raise StorageError(f"Cannot create {path}: make its folder first", path=path) from error
    except OSError as error:
        raise StorageError(f"Cannot create {path}: {error.strerror}", path=path) from error
    with _closing_on_error(file):
        _lock(file)
        try:
            _write_head(file, clock=clock, align=align, origin=origin)
        except BaseException:
            # We made it a moment ago and nobody has seen more than its head.
            with suppress(OSError):
                files.remove(path)
            raise
    return file


def begin_directory(files: FileLayer, path: str, *, gitignore: bool) -> None:
    """
    Make the directory *path* (0700) unless there is something, whatever it is.

    *path* ends in a slash.  With *gitignore* a new one has a ``.gitignore``
    that keeps recordings out of a repository.

    Raises:
        StorageError: The system refuses.
    """
    name = path.rstrip(os.sep) or os.sep
    try:
        os.mkdir(name, 0o700)
    except FileExistsError:
        return
    except OSError as error:
        raise StorageError(f"Cannot create {name}: {error.strerror}", path=name) from error
    try:
        if gitignore:
            _write_gitignore(files, path)
        files.sync_directory(os.path.dirname(name))
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"Cannot begin in {name}: {error.strerror}", path=name) from error


def _write_gitignore(files: FileLayer, directory: str) -> None:
    handle = files.open(directory + ".gitignore", write=True, create=True)
    try:
        files.append(handle, b"*\n")
    finally:
        files.close(handle)


def _locked_unless_empty(files: FileLayer, path: str) -> OpenFile | None:
    file = open_file(files, path, write=True)
    with _closing_on_error(file):
        if file.size() > 0:
            _lock(file)
            if files.leads_to(path, file.handle):
                return file
            # It was compacted between the two steps: the name leads to
            # another file now.
    # Else somebody may be creating it right now: the lock is left alone until
    # the first bytes are there.
    file.close()
    return None


def _begin_empty(files: FileLayer, path: str, *, clock: Callable[[], int], align: int) -> OpenFile:
    """Begin in a file without a byte: its creator was killed, or it was made for us."""
    file = open_file(files, path, write=True)
    with _closing_on_error(file):
        _lock(file)
        if file.size() == 0:
            _write_head(file, clock=clock, align=align)
    return file


@contextmanager
def _closing_on_error(file: OpenFile) -> Iterator[None]:
    # Not left to the garbage: whoever keeps the error would keep the lock.
    try:
        yield
    except BaseException:
        file.close()
        raise


def _write_head(file: OpenFile, *, clock: Callable[[], int], align: int, origin: Origin | None = None) -> None:
    """Write the first bytes of a segment; the file is empty again when they are not synced."""
    segment = start_segment(
        sync=os.urandom(8), file_id=uuid4().bytes, created_ns=clock(), writer=_WRITER, align=align, origin=origin
    )
    data = segment.take()
    try:
        try:
            if file.files.append(file.handle, data) != len(data):
                raise OSError(errno.ENOSPC, "the disk took only a part")
            file.files.sync(file.handle)
        except BaseException:
            with suppress(OSError):
                file.files.truncate(file.handle, 0)
            raise
        file.files.sync_directory(os.path.dirname(file.path))
    except OSError as error:
        raise StorageError(f"Cannot create {file.path}: {error}", path=file.path) from error


def _lock(file: OpenFile) -> None:
    if not file.files.lock(file.handle):
        raise LockedError(file.path)
