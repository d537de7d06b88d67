"""
Reads one segment file: blocks by place, the newest commit, and every byte in order.

A reader takes no lock.  What a crash left at the end is no damage; what was
synced once and does not check any more is.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Protocol

import attrs

from replaykit.errors import DamagedError, NotAStoreError, StorageError, StoreNotFoundError
from replaykit.format.block import (
    BLOCK_START,
    HEADER_BYTES,
    TAIL_BYTES,
    Block,
    Tail,
    block_size,
    find_tail,
    read_block,
    read_tail,
)
from replaykit.format.index import Place
from replaykit.format.segment import CATALOG, Head, read_head
from replaykit.protocols import FileLayer
from replaykit.storage.guard import abandon_in_child

__all__ = ["Damage", "OpenFile", "ReadableBytes", "SearchBudget", "SegmentFile", "Tear", "open_file"]

_WINDOW = 1 << 20
_FIRST_WINDOW = 1 << 10
_TAIL_WINDOW = 32 << 10
_USUAL_HEAD_BYTES = 4 << 10
_MOST_HEAD_BYTES = 64 << 10
_ZEROS = 4 << 10


@attrs.frozen
class Tear:
    """Where a scan stopped, because no whole block or tail begins there."""

    offset: int
    reason: str


@attrs.frozen
class Damage:
    """Bytes in which no whole block or tail begins."""

    offset: int
    end: int
    reason: str


class OpenFile:
    """
    An open file that closes itself when nobody refers to it any more.

    Attributes:
        is_new: Whether this open has created it.
    """

    def __init__(self, files: FileLayer, path: str, *, write: bool = False, create: bool = False) -> None:
        self.handle = -1
        self.is_new = create
        self.files = files
        self.path = path
        self.handle = files.open(path, write=write, create=create)
        if write:
            abandon_in_child(self)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes at *offset*."""
        try:
            return self.files.pread(self.handle, size, offset)
        except OSError as error:
            raise StorageError(f"Cannot read {self.path}: {error.strerror}", path=self.path) from error

    def size(self) -> int:
        """Return the file's size."""
        try:
            return self.files.size(self.handle)
        except OSError as error:
            raise StorageError(f"Cannot read {self.path}: {error.strerror}", path=self.path) from error

    def close(self) -> None:
        """Close it now; a lock on it ends."""
        handle, self.handle = self.handle, -1
        if handle >= 0:
            self.files.close(handle)

    def abandon(self) -> None:
        """Close this process's descriptor only: for a forked child; the parent keeps its lock."""
        self.close()

    def __del__(self) -> None:
        # At the interpreter's exit this module's names may be gone, so
        # nothing here looks one up.
        try:
            self.close()
        except OSError:
            return


def open_file(files: FileLayer, path: str, *, write: bool = False) -> OpenFile:
    """
    Open an existing store file.

    Raises:
        StoreNotFoundError: There is none.
        NotAStoreError: It is a symlink, a directory or a device.
        StorageError: The system refuses.
    """
    try:
        return OpenFile(files, path, write=write)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreNotFoundError(path) from error
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"Cannot open {path}: {error.strerror}", path=path) from error


class ReadableBytes(Protocol):
    """Where a segment's bytes come from: a file, or a row of a database."""

    @property
    def path(self) -> str:
        """Where it is, for messages."""

    def read(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes at *offset*."""

    def size(self) -> int:
        """Return how many bytes there are now."""


class SearchBudget:
    """How many bytes may still be checked in vain: what keeps a hostile file from taking quadratic time."""

    def __init__(self, size: int) -> None:
        self.left = 2 * size


class SegmentFile:
    """
    A segment in a file, read only.

    *head* is given where the file's own cannot be read.

    Raises:
        NotAStoreError, UnsupportedVersionError, DamagedError: On creation,
            from its head.
    """

    def __init__(self, file: ReadableBytes, *, head: Head | None = None) -> None:
        self.path = file.path
        self._file = file
        self.head: Head = head or _head_of(file)

    @property
    def file_id(self) -> bytes:
        """Which segment it is, whatever its path."""
        return self.head.file_id

    def size(self) -> int:
        """Return how many bytes the file has now."""
        return self._file.size()

    def read(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes at *offset*."""
        return self._file.read(offset, size)

    def block(self, place: Place) -> Block:
        """
        Return the block at *place*, with one read.

        Raises:
            DamagedError: It is not there as it was written.
        """
        data = self.read(place.offset, place.size)
        block = read_block(data, sync=self.head.sync, base=place.offset, path=self.path)
        if block is None or block.size != place.size:
            raise DamagedError(self.path, place.offset, "a block is cut short")
        return block

    def block_at(self, offset: int, stop: int) -> Block | None:
        """
        Return the block that begins at *offset*, None when it does not end before *stop*.

        Raises:
            DamagedError: No valid block begins there.
        """
        head = self.read(offset, min(HEADER_BYTES, stop - offset))
        try:
            size = block_size(head)
        except DamagedError as error:
            raise DamagedError(self.path, offset, error.reason) from error
        if size is None or offset + size > stop:
            return None
        return self.block(Place(offset, size))

    # -- the newest commit ------------------------------------------------------

    def newest_catalog(self, stop: int) -> Block | None:
        """
        Return the newest committed catalog before *stop*, None before the first commit.

        Raises:
            DamagedError: Bytes that were synced once are damaged.
        """
        tail, catalog = self._last_commit(stop)
        # A tail may be torn off a commit that is whole without it, so what
        # follows the last one is read block by block.
        for item in self.scan(self.head.end if tail is None else tail.end, stop):
            if isinstance(item, Tear):
                self.demand_torn(item, stop)
            elif isinstance(item, Block) and item.kind == CATALOG:
                catalog = item
        return catalog

    def _last_commit(self, stop: int) -> tuple[Tail | None, Block | None]:
        """Return the last tail whose catalog is whole, and that catalog; None each where there is none."""
        budget = SearchBudget(stop)
        while (tail := self.last_tail(stop)) is not None:
            catalog = self._named_by(tail)
            if catalog is not None:
                return tail, catalog
            # Tails that name nothing, one after the other: every block is
            # read instead, which costs less.
            budget.left -= min(_TAIL_WINDOW, stop) + tail.offset - tail.catalog
            if budget.left <= 0:
                break
            stop = tail.offset
        return None, None

    def last_tail(self, stop: int) -> Tail | None:
        """Return the last tail that ends at or before *stop*, None if there is none."""
        # Usually a tail is the very end, and then nothing else is read.
        windows = chain((TAIL_BYTES, _TAIL_WINDOW), repeat(_WINDOW))
        while stop > self.head.end:
            start = max(self.head.end, stop - next(windows))
            data = self.read(start, stop - start)
            tail = find_tail(data, len(data), sync=self.head.sync, base=start)
            if tail is not None or start == self.head.end:
                return tail
            # Windows overlap by one tail less a byte: one may lie across.
            stop = start + TAIL_BYTES - 1
        return None

    def _named_by(self, tail: Tail) -> Block | None:
        try:
            block = self.block_at(tail.catalog, tail.offset)
        except DamagedError:
            return None
        whole = block is not None and block.kind == CATALOG and block.digest()[:4] == tail.check
        return block if whole else None

    # -- every byte ---------------------------------------------------------------

    def scan(self, at: int, stop: int) -> Iterator[Block | Tail | Tear]:
        """Yield blocks and tails from *at* to *stop*; the first that is not whole ends it as a `Tear`."""
        # Damage in many places begins many scans: each reads little at first.
        window, base, ahead = b"", at, _FIRST_WINDOW
        while at < stop:
            if at + HEADER_BYTES > base + len(window) < stop:
                window, base = self.read(at, min(ahead, stop - at)), at
                ahead = min(2 * ahead, _WINDOW)
            rest = at - base
            if rest >= len(window):
                return
            if window[rest] == 0:
                zeros = window[rest : rest + _ZEROS]
                at += len(zeros) - len(zeros.lstrip(b"\0"))
                continue
            item = self._item(window, base, at, stop)
            yield item
            if isinstance(item, Tear):
                return
            at = item.end

    def _item(self, window: bytes, base: int, at: int, stop: int) -> Block | Tail | Tear:
        rest = at - base
        if window[rest] != BLOCK_START[0]:
            tail = read_tail(window, rest, sync=self.head.sync, base=base)
            return tail or Tear(at, "neither a block nor a tail")
        try:
            size = block_size(window, rest)
            if size is None or at + size > stop:
                return Tear(at, "a block is cut short")
            if rest + size > len(window):
                return self.block(Place(at, size))
            block = read_block(window, rest, sync=self.head.sync, base=base, path=self.path)
            return block or Tear(at, "a block is cut short")
        except DamagedError as error:
            return Tear(at, error.reason)

    def demand_torn(self, tear: Tear, stop: int) -> None:
        """
        Return if *tear* is what a crash leaves.

        Raises:
            DamagedError: A later block says that these bytes were synced before it was made.
        """
        for block in self.blocks_after(tear.offset + 1, stop):
            if block.watermark > tear.offset:
                raise DamagedError(self.path, tear.offset, tear.reason)

    def blocks_after(self, at: int, stop: int, budget: SearchBudget | None = None) -> Iterator[Block]:
        """
        Yield whatever valid blocks are found at or after *at*, in bounded time.

        Failed candidates are checked for up to twice the bytes that were
        there, or as far as the *budget* goes.
        """
        budget = budget or SearchBudget(stop - at)
        end = at
        for found in self._occurrences(BLOCK_START + self.head.sync, at, stop):
            if budget.left <= 0:
                return
            if found < end:
                # Inside a block that is whole: what it holds is its own matter.
                continue
            size = block_size_or_none(self.read(found, min(HEADER_BYTES, stop - found)))
            block = self._block_or_none(Place(found, size)) if size and found + size <= stop else None
            if block is None:
                budget.left -= HEADER_BYTES + (size if size and found + size <= stop else 0)
                continue
            yield block
            end = block.end

    def survey(self, start: int, stop: int) -> Iterator[Block | Damage]:
        """
        Yield every whole block from *start* to *stop*, and the ranges between them that are none.

        A file that is made to be searched for ever is given up on after
        checking twice its bytes in vain; the rest is one range of damage.
        """
        budget = SearchBudget(stop - start)
        at = start
        while at < stop:
            tear = None
            for item in self.scan(at, stop):
                if isinstance(item, Tear):
                    tear = item
                elif isinstance(item, Block):
                    yield item
            if tear is None:
                return
            budget.left -= self._checked_bytes(tear.offset, stop)
            found = next(self.blocks_after(tear.offset + 1, stop, budget), None)
            at = stop if found is None else found.offset
            yield Damage(tear.offset, at, tear.reason)

    def _checked_bytes(self, offset: int, stop: int) -> int:
        """Return how many bytes were looked at before what begins at *offset* was taken for no block."""
        claimed = block_size_or_none(self.read(offset, HEADER_BYTES)) or 0
        # What is not there was not looked at, however much is claimed.
        return claimed if HEADER_BYTES < claimed <= stop - offset else HEADER_BYTES

    def _block_or_none(self, place: Place) -> Block | None:
        try:
            return self.block(place)
        except DamagedError:
            return None

    def _occurrences(self, pattern: bytes, at: int, stop: int) -> Iterator[int]:
        """Yield where *pattern* begins; each window is read once."""
        ahead = _FIRST_WINDOW
        while stop - at >= len(pattern):
            data = self.read(at, min(ahead, stop - at))
            ahead = min(2 * ahead, _WINDOW)
            found = data.find(pattern)
            while found >= 0:
                yield at + found
                found = data.find(pattern, found + 1)
            if len(data) < len(pattern):
                return
            at += len(data) - len(pattern) + 1


def block_size_or_none(head: bytes) -> int | None:
    """Return the size that a block's first bytes declare, None where they are no block's."""
    try:
        return block_size(head)
    except DamagedError:
        return None


def _head_of(file: ReadableBytes) -> Head:
    try:
        return read_head(file.read(0, _USUAL_HEAD_BYTES), path=file.path)
    except NotAStoreError:
        # A longer one than any of today ends inside what was read.
        return read_head(file.read(0, _MOST_HEAD_BYTES), path=file.path)
