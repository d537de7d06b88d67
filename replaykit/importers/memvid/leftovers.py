"""
Finds what is left of sessions that a memvid file does not name any more: deleted ones, and lost ones.

memvid saves all its sessions anew each time and erases nothing, so bytes of
old segments stay. Nobody may take them for sessions; but that they are there
is worth telling.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import attrs

from replaykit.errors import DamagedError
from replaykit.importers.memvid.container import SEGMENT_HEAD_BYTES, SEGMENT_MAGIC, OpenFile, opened
from replaykit.importers.memvid.cursor import Cursor
from replaykit.importers.memvid.decoding import read_session_id

__all__ = ["Leftover", "leftovers_in"]

_VERSION = 1
_MOST_SESSIONS = 10_000
_MOST_LOOKS = 100_000
_LENGTH_BYTES = 8
_ID_BYTES = 24
_LEAST_SESSION_BYTES = 62


@attrs.frozen
class Leftover:
    """The id of a session that nothing names any more, and where the newest of its bytes begin."""

    session_id: UUID
    offset: int


def leftovers_in(path: str, named: frozenset[UUID]) -> list[Leftover]:
    """
    Return what is left in the file at *path* of sessions that are not *named*.

    All of the file is read; at most 10,000 are returned, of a hostile file not all.

    Raises:
        StorageError: It cannot be read.
    """
    with opened(path) as file:
        return _leftovers(file, named)


def _leftovers(file: OpenFile, named: frozenset[UUID]) -> list[Leftover]:
    found: dict[UUID, int] = {}
    looks, behind = 0, 0
    for at in file.places_of(SEGMENT_MAGIC):
        looks += 1
        if looks > _MOST_LOOKS or len(found) >= _MOST_SESSIONS:
            break
        if at < behind:
            continue
        try:
            sessions, behind = _heads(file, at)
        except DamagedError:
            # Overwritten in part, or something else that begins so.
            continue
        found.update({session_id: offset for session_id, offset in sessions if session_id not in named})
    return [Leftover(session_id, offset) for session_id, offset in found.items()]


def _heads(file: OpenFile, at: int) -> tuple[list[tuple[UUID, int]], int]:
    """Return ids and places of the sessions of the segment at *at*, and where it ends."""
    cursor = Cursor(file.read(at, SEGMENT_HEAD_BYTES), file.path, at=len(SEGMENT_MAGIC))
    version, count, size = cursor.u32(), cursor.u32(), cursor.u64()
    if version != _VERSION or size < SEGMENT_HEAD_BYTES or at + size > file.size:
        raise cursor.damaged("this is no segment")
    return list(_walk(file, at, size, count)), at + size


def _walk(file: OpenFile, at: int, size: int, count: int) -> Iterator[tuple[UUID, int]]:
    place, end = at + SEGMENT_HEAD_BYTES, at + size
    for _ in range(min(count, _MOST_SESSIONS)):
        cursor = Cursor(file.read(place, _LENGTH_BYTES + _ID_BYTES), file.path)
        length = cursor.u64()
        if length < _LEAST_SESSION_BYTES or place + _LENGTH_BYTES + length > end:
            raise cursor.damaged("this is no session")
        yield read_session_id(cursor), place + _LENGTH_BYTES
        place += _LENGTH_BYTES + length
