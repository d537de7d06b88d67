"""Parts in rows of a database: each is a complete segment of one session."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from replaykit.errors import DamagedError, StorageError
from replaykit.format.block import MAGIC, NO_BLOCK, TAIL_BYTES, Block, block_size, read_block, read_tail
from replaykit.format.catalog import catalog_of
from replaykit.format.index import Place
from replaykit.format.segment import SessionIndex, body_of, read_head
from replaykit.format.strict import decode_body
from replaykit.storage.database import demand_stored_tables, open_database
from replaykit.storage.stored_session import read_index

if TYPE_CHECKING:
    import apsw

__all__ = ["PartRow", "ReadBody", "RowBytes", "part_problems", "rows_of"]

ReadBody = Callable[[int, int, int], bytes]
"""``(row, offset, size) -> bytes``: up to *size* bytes of the part in a row."""

SoundIn = Callable[[str, bytes], Container[int]]
"""``(path, file id) -> offsets`` of blocks whose bodies are known to be sound."""

_HEAD_BYTES = 4096


class PartRow:
    """
    One part: a complete segment in a row, read piece by piece.

    Raises:
        DamagedError, NotAStoreError, UnsupportedVersionError: On creation,
            from its head.
    """

    def __init__(self, read: ReadBody, path: str, row: int, size: int) -> None:
        self._read = read
        self._row = row
        self._size = size
        self.path = path
        head = read_head(read(row, 0, _HEAD_BYTES), path=path)
        self._sync, self.file_id = head.sync, head.file_id

    def block(self, place: Place) -> Block:
        """Return the block at *place*; DamagedError when it is not as it was written."""
        data = self._read(self._row, place.offset, place.size)
        block = read_block(data, sync=self._sync, base=place.offset, path=self.path)
        if block is None or block.size != place.size:
            raise DamagedError(self.path, place.offset, "a block is cut short")
        return block

    def index(self, session_id: bytes) -> SessionIndex:
        """Return what the part holds of *session_id*; DamagedError when its end does not check."""
        start = max(self._size - TAIL_BYTES, 0)
        tail = read_tail(self._read(self._row, start, TAIL_BYTES), 0, sync=self._sync, base=start)
        if tail is None:
            raise DamagedError(self.path, start, "the part has no tail")
        catalog = catalog_of(self.block(Place(tail.catalog, tail.offset - tail.catalog)), path=self.path)
        place = catalog.records[-1].place
        if place is None:
            raise DamagedError(self.path, tail.catalog, "the part has no index")
        return read_index(self, session_id, place)


@attrs.frozen
class RowBytes:
    """All bytes of the part in one row."""

    path: str
    body: bytes

    def read(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes at *offset*."""
        return self.body[offset : offset + size]

    def size(self) -> int:
        """Return how many bytes there are."""
        return len(self.body)


def rows_of(path: str, problems: list[str]) -> Iterator[RowBytes]:
    """
    Yield the parts in the memory file at *path* that can be read; what cannot is added to *problems*.

    Raises:
        StorageError: It is no memory file, or the system refuses.
    """
    import apsw

    connection = open_database(path, create=False, read_only=True)
    seen: set[int] = set()
    try:
        demand_stored_tables(connection, path)
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'replaykit_part'").get:
            # A memory that nobody has recorded.
            return
        yield from _walk(connection, path, problems, seen, descending=False)
    except apsw.Error as error:
        # Behind a page that is damaged the rows are reached from the other end.
        problems.append(f"{path}: {error}")
        with suppress(apsw.Error):
            yield from _walk(connection, path, problems, seen, descending=True)
    finally:
        connection.close()


def _walk(
    connection: apsw.Connection, path: str, problems: list[str], seen: set[int], *, descending: bool
) -> Iterator[RowBytes]:
    import apsw

    order, compares, at = ("DESC", "<", 1 << 62) if descending else ("ASC", ">", -1)
    statement = f"SELECT rowid FROM replaykit_part WHERE rowid {compares} ? ORDER BY rowid {order} LIMIT 1"  # noqa: S608 - two literals of ours
    while (row := connection.execute(statement, (at,)).get) is not None:
        at = row
        if row in seen:
            return
        seen.add(row)
        try:
            body = connection.execute("SELECT body FROM replaykit_part WHERE rowid = ?", (row,)).get
        except apsw.Error as error:
            problems.append(f"{path} part {row}: {error}")
            continue
        if type(body) is bytes:
            yield RowBytes(f"{path} part {row}", body)


def part_problems(
    body: object, path: str, sound_in: SoundIn = lambda _path, _file_id: (), trusted: Container[int] = ()
) -> list[str]:
    """
    Check every byte of a part; empty when all is well.

    Bodies that are known to be sound, and those of the kinds *trusted*, are not decoded.
    """
    if not isinstance(body, bytes):
        # SQLite holds any type in any column.
        return [f"{path}: a part is no bytes"]
    at, previous = len(MAGIC), NO_BLOCK
    try:
        head = read_head(body, path=path)
        sync, sound = head.sync, sound_in(path, head.file_id)
        while at < len(body) - TAIL_BYTES and block_size(body, at, path=path):
            block = read_block(body, at, sync=sync, path=path)
            if block is None or block.previous != previous:
                raise DamagedError(path, at, "the block does not follow the one before it")
            if at not in sound and block.kind not in trusted:
                decode_body(body_of(block, path=path), path=path, offset=at)
            at, previous = block.end, block.digest()
        if at + TAIL_BYTES != len(body) or read_tail(body, at, sync=sync) is None:
            raise DamagedError(path, at, "the part has no tail")
    except StorageError as error:
        return [str(error)]
    return []
