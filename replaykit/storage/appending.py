"""Appends to one segment file: whole or not at all, and on the device before it returns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import attrs

from replaykit.errors import StorageError, UnsupportedVersionError
from replaykit.format.block import Block
from replaykit.format.entries import Gap
from replaykit.format.parts import gap_bodies
from replaykit.format.segment import BARRIER, CATALOG, GAP, SegmentWriter
from replaykit.format.strict import encode_body
from replaykit.storage.evidence import keep_aside
from replaykit.storage.options import StoreOptions
from replaykit.storage.segment_file import OpenFile, SegmentFile, Tear

__all__ = ["Appender", "End"]

_LONGEST_GAP = 1 << 20
"""A longer torn end is kept in a file of its own, and only so much of it in the segment."""


@attrs.frozen(kw_only=True)
class End:
    """Where a segment ends: what the next block continues."""

    offset: int
    previous: bytes
    watermark: int


class _Changed(Exception):
    """Somebody else changed a file that is open for writing here."""


def _cut(size: int, left: int) -> _Changed:
    return _Changed(f"somebody else made the file {size} bytes long, which was left with {left}")


def _said(reason: BaseException) -> str:
    return str(reason) if isinstance(reason, _Changed) else f"one failed: {reason}"


class Appender:
    """
    The writing end of a segment file whose lock is held.

    After a failed sync or a failed roll-back every further write raises
    ``StorageError``: what the device holds is not known any more.  So it does
    once the file was removed, replaced, cut or made longer by somebody else.
    """

    def __init__(self, file: OpenFile, segment: SegmentFile, options: StoreOptions) -> None:
        self._file = file
        self._segment = segment
        self._options = options
        self._poisoned: BaseException | None = None
        self._dirty = False
        self.end = self._continue_after_crash(file.size())

    def writer(self) -> SegmentWriter:
        """Return a builder for what comes next."""
        return SegmentWriter(
            sync=self._segment.head.sync,
            offset=self.end.offset,
            previous=self.end.previous,
            watermark=self.end.watermark,
            align=self._options.align,
            level=self._options.level,
        )

    @property
    def is_poisoned(self) -> bool:
        """Whether every further write is refused."""
        return self._poisoned is not None

    def write(self, writer: SegmentWriter, data: bytes) -> None:
        """
        Append *data*, which *writer* built, and sync it.

        Raises:
            StorageError: It is not kept; the file is as it was before, or
                this appender refuses from now on.
            KeyboardInterrupt: It is kept whole or not at all.
        """
        self.demand_healthy()
        after = End(offset=writer.offset, previous=writer.previous, watermark=writer.offset)
        self._dirty = True
        try:
            self._append_whole(data)
            self._sync()
            self.end = after
        except OSError as error:
            self._roll_back(self.end.offset)
            if isinstance(error, StorageError):
                raise
            raise self._translated(error) from error
        except BaseException:
            self._settle(after)
            raise

    def mark_synced(self, catalog: bytes | None = None) -> None:
        """
        Say in the file that everything before was synced, if anything was written since that was last said.

        Damage of what comes before is told from a torn end by that.  The body
        of a *catalog* may come with it.
        """
        if self._poisoned is not None or not self._dirty:
            return
        self._dirty = False
        # Without it only the verdict on later damage is weaker: not worth an
        # error.
        try:
            if self._file.size() == self.end.offset:
                self._append_barrier(catalog)
        except OSError as error:
            with suppress(OSError):
                self._roll_back(self.end.offset)
            self._poisoned = error
        except BaseException:
            self._roll_back(self.end.offset)
            raise

    def _append_barrier(self, body: bytes | None) -> None:
        newest = self._segment.newest_catalog(self.end.offset)
        if newest is None:
            return
        writer = self.writer()
        writer.add(BARRIER, encode_body({}))
        if body is None:
            writer.add_tail(newest.offset, newest.digest())
        else:
            place = writer.add(CATALOG, body)
            writer.add_tail(place.offset, writer.previous)
        self._append_whole(writer.take())
        self.end = attrs.evolve(self.end, offset=writer.offset, previous=writer.previous)

    def _append_whole(self, data: bytes) -> None:
        path = self._file.path
        while data:
            written = self._file.files.append(self._file.handle, data)
            if written <= 0:
                raise StorageError(f"{path}: the system writes no more bytes", path=path)
            data = data[written:]

    def _sync(self) -> None:
        try:
            self._file.files.sync(self._file.handle)
        except OSError as error:
            # The system reports such a failure once and may then call the
            # lost pages clean, so a second attempt would prove nothing.
            self._poisoned = error
            raise

    def _settle(self, after: End) -> None:
        """After an interrupt: keep what is whole, since it may be synced and read by others; roll back the rest."""
        try:
            is_whole = self._file.size() == after.offset
        except BaseException as error:
            self._poisoned = error
            raise
        if self._poisoned is not None or self.end is after:
            return
        if is_whole:
            self.end = attrs.evolve(after, watermark=self.end.watermark)
        else:
            self._roll_back(self.end.offset)

    def _roll_back(self, size: int) -> None:
        if self._poisoned is not None:
            return
        try:
            if (found := self._file.size()) > size:
                self._file.files.truncate(self._file.handle, size)
            elif found < size:
                # To make it as long as it was would fill it with zeros.
                self._poisoned = _cut(found, size)
        except BaseException as error:
            self._poisoned = error
            raise

    def demand_healthy(self) -> None:
        """
        Return if the next write goes where the last one ended; nothing is read of the file.

        Raises:
            StorageError: A write failed before and cannot be undone, or the
                file is not as it was left; or the disk refuses.
        """
        if self._poisoned is None:
            self._poisoned = self._change_by_others()
        if self._poisoned is not None:
            raise StorageError(
                f"{self._file.path} takes no more writes in this process, since {_said(self._poisoned)}. "
                "Open it again once the disk is well.",
                path=self._file.path,
            )

    def _change_by_others(self) -> _Changed | None:
        """Return what somebody did to the file whom the lock does not keep from it; None where nobody did anything."""
        try:
            has_its_name = self._file.files.leads_to(self._file.path, self._file.handle)
        except OSError as error:
            raise self._translated(error) from error
        if not has_its_name:
            # What is written to it now is gone with the last who has it open.
            return _Changed("the file was removed or replaced by another")
        # A block says where it stands, so what stands elsewhere is never found again.
        size = self._file.size()
        if size == self.end.offset:
            return None
        return _cut(size, self.end.offset)

    def _translated(self, error: OSError) -> StorageError:
        path = self._file.path
        return StorageError(f"Cannot write {path}: {error.strerror or error}", path=path)

    # -- opening ----------------------------------------------------------------

    def _continue_after_crash(self, size: int) -> End:
        segment = self._segment
        if not segment.head.writable:
            raise UnsupportedVersionError(segment.path, "1 with features that this one cannot write", 1)
        end, tear = self._end_of(size)
        if tear is None:
            if not self._file.is_new:
                self._sync_what_was_left(end.watermark, size)
            return attrs.evolve(end, offset=size)
        segment.demand_torn(tear, size)
        self.end, _ = self._end_of(tear.offset)
        self.end = attrs.evolve(self.end, offset=tear.offset)
        self._keep_torn_end(tear, size)
        return self.end

    def _sync_what_was_left(self, watermark: int, size: int) -> None:
        """Sync what a writer that was killed had written and not synced: from now on others rely on it."""
        # Until the first commit says more, not even the file's name may be
        # on the device.
        is_named = watermark > self._segment.head.end
        beyond = self._segment.scan(watermark, size)
        if is_named and all(item.kind in (BARRIER, CATALOG) for item in beyond if isinstance(item, Block)):
            # A closing says that everything before it was synced.
            return
        try:
            self._sync()
            if not is_named:
                self._file.files.sync_directory(os.path.dirname(self._file.path))
        except OSError as error:
            raise self._translated(error) from error

    def _end_of(self, stop: int) -> tuple[End, Tear | None]:
        """Read what follows the last sync that is known of; return where it ends and whether it is torn."""
        segment = self._segment
        catalog = segment.newest_catalog(stop)
        end = End(offset=segment.head.end, previous=segment.head.digest, watermark=segment.head.end)
        start = segment.head.end if catalog is None else catalog.offset
        end, tear = self._walk(start, stop, end)
        if tear is None and end.watermark < start:
            # The newest commit itself may have a hole: its writer died
            # before the sync, and the device keeps no order.
            end, tear = self._walk(end.watermark, stop, end)
        return end, tear

    def _walk(self, start: int, stop: int, end: End) -> tuple[End, Tear | None]:
        watermark = end.watermark
        for item in self._segment.scan(start, stop):
            if isinstance(item, Tear):
                return attrs.evolve(end, watermark=watermark), item
            end = attrs.evolve(end, offset=item.end)
            if isinstance(item, Block):
                # It may be as low as a file pleases; a walk never goes back.
                watermark = max(watermark, item.watermark)
                end = attrs.evolve(end, previous=item.digest())
        return attrs.evolve(end, watermark=watermark), None

    def _keep_torn_end(self, tear: Tear, size: int) -> None:
        writer = self.writer()
        for gap in self._gaps_of(tear, size - tear.offset):
            for body in gap_bodies(None, gap):
                writer.add(GAP, encode_body(body))
        writer.pad()
        try:
            self._file.files.truncate(self._file.handle, tear.offset)
        except OSError as error:
            raise self._translated(error) from error
        self.write(writer, writer.take())

    def _gaps_of(self, tear: Tear, length: int) -> Iterator[Gap]:
        if length <= _LONGEST_GAP:
            yield Gap(offset=tear.offset, reason=tear.reason, data=self._segment.read(tear.offset, length))
            return
        path = keep_aside(self._file.files, self._segment, tear.offset, length)
        reason = f"{tear.reason}; its {length} bytes are in {os.path.basename(path)}"
        yield Gap(offset=tear.offset, reason=reason, data=self._segment.read(tear.offset, _LONGEST_GAP))
