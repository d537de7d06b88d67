"""Lists a small segment file from one read of all its bytes: a directory has hundreds of them."""

from __future__ import annotations

from collections.abc import Sequence

from replaykit.format.block import Block, read_block
from replaykit.format.catalog import Record
from replaykit.protocols import FileLayer
from replaykit.storage.listing import Listing
from replaykit.storage.segment_file import SegmentFile, open_file

__all__ = ["SMALL_BYTES", "records_of_small"]

SMALL_BYTES = 64 << 10
"""The size up to which a file is read as a whole."""


def records_of_small(files: FileLayer, path: str) -> Sequence[Record] | None:
    """
    Return the newest record of each session in a file, None when it is not small; the file is closed again.

    Raises:
        StoreNotFoundError: It is gone.
        NotAStoreError, UnsupportedVersionError, DamagedError: As for `SegmentFile`.
    """
    file = open_file(files, path)
    try:
        data = file.read(0, SMALL_BYTES + 1)
    finally:
        file.close()
    if len(data) > SMALL_BYTES:
        return None
    listing, segment = Listing(), _SmallSegment(_Bytes(path, data))
    listing.refresh(segment, segment.newest_catalog(len(data)))
    return listing.records()


class _Bytes:
    """All bytes of a file, in its place."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self._data = data

    def read(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]

    def size(self) -> int:
        return len(self._data)


class _SmallSegment(SegmentFile):
    def block_at(self, offset: int, stop: int) -> Block | None:
        # Nothing is gained by looking at the size first.
        return read_block(self.read(offset, stop - offset), sync=self.head.sync, base=offset, path=self.path)
