"""The sessions of one segment file, as its catalogs say, kept up to date cheaply."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from operator import attrgetter

from replaykit.errors import DamagedError
from replaykit.format.block import Block
from replaykit.format.catalog import Catalog, Record, catalog_of, reach, size_of_record
from replaykit.format.index import Place
from replaykit.storage.segment_file import SegmentFile

__all__ = ["Listing"]

_published_ns = attrgetter("published_ns")
_KEPT = 512
_SUMMED_UP_PER_COMMIT = 8


class Listing:
    """
    What is published, newest last.

    Reads catalogs only, and of those only what came after the last look.
    The caller holds a lock.
    """

    def __init__(self) -> None:
        self.number = 0
        self.published_ns = 0
        self._records: dict[bytes, Record] = {}
        self._offsets: dict[int, int] = {0: 0}
        self._recent: deque[Record] = deque(maxlen=_KEPT)
        self._sizes: dict[int, int] = {}

    def refresh(self, segment: SegmentFile, newest: Block | None) -> None:
        """
        Take in everything up to the catalog *newest*.

        Raises:
            DamagedError: A catalog on the way is damaged.
        """
        catalogs = []
        for catalog, offset in self._chain(segment, newest):
            catalogs.append(catalog)
            self._offsets[catalog.number] = offset
        for catalog in reversed(catalogs):
            known = max(0, self.number - catalog.number + len(catalog.records))
            self._take(catalog.records[known:])
        self._forget_old_offsets()

    def records(self) -> Sequence[Record]:
        """Return the newest record of each session, deletions included, in order of publishing."""
        return list(self._records.values())

    def record(self, session_id: bytes) -> Record | None:
        """Return the newest record of a session, None when there is none."""
        return self._records.get(session_id)

    def next_catalog(self, record: Record) -> tuple[int, list[Record]]:
        """Return the base and the records of the catalog that commits *record*."""
        newest = [*self._recent, record][-reach(record.number) :]
        sizes = [*map(self._size_of, newest[:-1]), size_of_record(record)] if len(newest) > 1 else ()
        covered = reach(record.number, sizes)
        # A catalog that another writer made may lie off the usual steps.
        while covered > 1 and (record.number - covered not in self._offsets or covered > len(newest)):
            covered //= 8
        return self._offsets[record.number - covered], newest[-covered:]

    def _size_of(self, record: Record) -> int:
        """Return about how many bytes a committed *record* takes in a catalog; told once, as it is in several."""
        size = self._sizes.get(record.number)
        if size is None:
            size = self._sizes[record.number] = size_of_record(record)
        return size

    def closing_catalog(self, commits: int) -> tuple[int, list[Record]] | None:
        """
        Return base and records of a catalog that sums up what was committed of late; None where the newest one does.

        A file that is closed is then listed with one read.  It covers a
        bounded number of records for each of the *commits* since the file was
        opened, so that a session's share does not grow with the file.
        """
        most = min(commits * _SUMMED_UP_PER_COMMIT, len(self._recent))
        for covered in range(most, reach(self.number), -1):
            base = self._offsets.get(self.number - covered)
            if base is not None:
                return base, list(self._recent)[-covered:]
        return None

    def commit(self, record: Record, place: Place) -> None:
        """Take in a record whose catalog at *place* is on the device."""
        self._take([record])
        self._offsets[record.number] = place.offset
        self._forget_old_offsets()

    def _take(self, records: Sequence[Record]) -> None:
        for record in records:
            # Taken out first: what is published anew stands last.
            self._records.pop(record.session_id, None)
            self._records[record.session_id] = record
        if records:
            self._recent.extend(records)
            self.number = records[-1].number
            self.published_ns = max(self.published_ns, *map(_published_ns, records))

    def _chain(self, segment: SegmentFile, newest: Block | None) -> Iterator[tuple[Catalog, int]]:
        block = newest
        above: int | None = None
        while block is not None:
            catalog = catalog_of(block, path=segment.path)
            if above is not None and catalog.number != above:
                raise DamagedError(segment.path, block.offset, "the catalogs do not follow each other")
            above = catalog.number - len(catalog.records)
            if catalog.number <= self.number:
                return
            yield catalog, block.offset
            if above <= self.number:
                return
            # A base is always nearer to the start, so this ends.
            block = segment.block_at(catalog.base, block.offset)
            if block is None:
                raise DamagedError(segment.path, catalog.base, "a catalog is cut short")

    def _forget_old_offsets(self) -> None:
        if len(self._offsets) > 4 * _KEPT:
            oldest = self.number - _KEPT
            self._offsets = {number: offset for number, offset in self._offsets.items() if number >= oldest}
            self._sizes = {number: size for number, size in self._sizes.items() if number >= oldest}
