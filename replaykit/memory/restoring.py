"""Moves a memory back: a new generation that holds what an older one held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replaykit.memory.changes import Change, Version, is_live, live_version
from replaykit.memory.history import came_after, ended_after, versions_of

if TYPE_CHECKING:
    import apsw

__all__ = ["restore"]


def restore(connection: apsw.Connection, change: Change, generation: int) -> None:
    """
    Let *change* make the memory what it was at *generation*; takes as long as there are frames that differ.

    Raises:
        StorageError: As SQLite says; the caller's transaction is undone then.
    """
    # Both are listed before the first change, which adds to them.
    newer, older = came_after(connection, generation), ended_after(connection, generation)
    replaced = set()
    for then in versions_of(connection, older):
        replaced.add(then.frame_id)
        now = live_version(connection, then.frame_id) if is_live(connection, then.frame_id) else None
        _put_back(connection, change, then, now)
    for now in versions_of(connection, newer):
        if now.frame_id not in replaced:
            change.remove(now)


def _put_back(connection: apsw.Connection, change: Change, then: Version, now: Version | None) -> None:
    if now is not None and now.fields_hash == then.fields_hash:
        return
    change.put_back(then, now)
