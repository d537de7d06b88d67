"""
Finds the live frame that equals one about to be stored.

The look-up goes through an index that is made at the first use, so that a
memory that never asks never pays for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from replaykit.memory import demands
from replaykit.memory.schema import DUPLICATES_INDEX, FOREVER

if TYPE_CHECKING:
    import apsw

__all__ = ["frame_with", "make_index", "twin_of"]

# Written with the number itself: SQLite uses a partial index only where the
# query says the very same thing.
_LIVE = f"until = {FOREVER}"


def make_index(connection: apsw.Connection) -> None:
    """Make the index if it is not there; part of the caller's transaction."""
    connection.execute(DUPLICATES_INDEX)


def frame_with(connection: apsw.Connection, fields_hash: bytes) -> int | None:
    """Return what `twin_of` returns; without the index it looks at all frames."""
    sql = f"SELECT min(frame_id) FROM memory_versions WHERE fields_hash = ? AND {_LIVE}"  # noqa: S608 - a number of ours
    return demands.whole_or_none(connection.execute(sql, (fields_hash,)).get, "the id of a frame")


def twin_of(connection: apsw.Connection, fields_hash: bytes) -> int | None:
    """Return the lowest id of the live frames with *fields_hash*, None if there is none."""
    found = connection.execute(
        f"SELECT min(frame_id) FROM memory_versions INDEXED BY memory_by_fields WHERE fields_hash = ? AND {_LIVE}",  # noqa: S608 - a number of ours
        (fields_hash,),
    ).get
    return demands.whole_or_none(found, "the id of a frame")
