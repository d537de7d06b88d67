"""Keeps damaged bytes that are too long for a GAP: in a file of mode 0600 beside the store."""

from __future__ import annotations

import os
import re

from replaykit.errors import StorageError
from replaykit.protocols import FileLayer
from replaykit.storage.segment_file import SegmentFile

__all__ = ["evidence_beside", "keep_aside", "store_of_evidence"]

_SUFFIX = ".lost"
_NAME = re.compile(r"\.[0-9]+\.lost\Z")
_WINDOW = 1 << 20


def keep_aside(files: FileLayer, segment: SegmentFile, offset: int, length: int) -> str:
    """
    Copy *length* bytes at *offset* of *segment* to a file beside it, synced; return its path.

    Raises:
        StorageError: They cannot be kept; nothing was changed.
    """
    path = f"{segment.path}.{offset}{_SUFFIX}"
    try:
        if os.path.basename(path) in files.names(os.path.dirname(path)):
            # Kept by an earlier recovery that did not come to its end.
            files.remove(path)
        handle = files.open(path, write=True, create=True)
        try:
            for at in range(offset, offset + length, _WINDOW):
                _append_whole(files, handle, segment.read(at, min(_WINDOW, offset + length - at)))
            files.sync(handle)
        finally:
            files.close(handle)
        files.sync_directory(os.path.dirname(path))
    except OSError as error:
        raise StorageError(f"Cannot keep the torn end of {segment.path} in {path}: {error}", path=path) from error
    return path


def evidence_beside(files: FileLayer, store_path: str) -> list[str]:
    """Return the files of kept bytes beside the store at *store_path*."""
    directory, store = os.path.split(store_path)
    found = sorted(name for name in files.names(directory) if store_of_evidence(name) == store)
    return [os.path.join(directory, name) for name in found]


def store_of_evidence(name: str) -> str | None:
    """Return which store the bytes in the file *name* were kept of; None for other names."""
    match = _NAME.search(name)
    return None if match is None else name[: match.start()]


def _append_whole(files: FileLayer, handle: int, data: bytes) -> None:
    while data:
        written = files.append(handle, data)
        if written <= 0:
            raise OSError("the system writes no more bytes")
        data = data[written:]
