"""
A memory as it was at each moment of a session, with all that changed after the session laid over it.

What a find would give now, had it been asked then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from replaykit.errors import FrameNotFoundError
from replaykit.memory import demands
from replaykit.memory.changes import Change, Version, changing, is_live, live_version, version_at
from replaykit.memory.connection import Connection
from replaykit.memory.forking import private_branch
from replaykit.memory.history import came_after, demand_kept, ended_after, first_version_after, versions_of
from replaykit.memory.vectors import stored_vector

if TYPE_CHECKING:
    import apsw

__all__ = ["Hindsight"]


class Hindsight:
    """
    The states of *origin* from generation to generation up to *end*, the session's last one.

    A private copy is made when it is needed, and moved from state to state:
    asked for ascending generations it takes as long as there are changes.
    *origin* may be used meanwhile; what is written to it after this was made
    does not show.  Without *with_later_changes* the states are those of then.
    """

    def __init__(self, origin: Connection, end: int, *, with_later_changes: bool = True) -> None:
        self._origin = origin
        self._end = end
        self._with_later_changes = with_later_changes
        self._copy: Connection | None = None
        self._generation = end
        self._changed: dict[int, _Held | None] = {}

    def connection_at(self, generation: int) -> Connection:
        """
        Return the memory as it was at *generation* with the later changes over it; good until the next call.

        Raises:
            CheckpointNotFoundError: The session's states cannot be gone back to.
        """
        if self._copy is None:
            self._copy = self._made()
        if generation != self._generation:
            self._move(self._copy, generation)
        return self._copy

    def close(self) -> None:
        """Let go of the copy."""
        if self._copy is not None:
            self._copy.close()

    def _made(self) -> Connection:
        if self._with_later_changes:
            self._changed = _changed_after(self._origin, self._end)
        copy = private_branch(self._origin, self._end)
        _change(copy, self._lay_over)
        return copy

    def _lay_over(self, connection: apsw.Connection, change: Change) -> None:
        for frame_id, held in self._changed.items():
            _let_stand(connection, change, frame_id, held)

    def _move(self, copy: Connection, generation: int) -> None:
        low, high = sorted((self._generation, generation))
        with copy.reading() as connection:
            demand_kept(connection, generation)
            touched = self._touched(connection, low, high)
        _change(copy, lambda connection, change: self._go_to(connection, change, generation, touched))
        self._generation = generation

    def _touched(self, connection: apsw.Connection, low: int, high: int) -> list[int]:
        begin, end = first_version_after(connection, low), first_version_after(connection, high)
        rows = connection.execute(
            "SELECT frame_id FROM memory_versions WHERE version_id >= ? AND version_id < ? "
            "UNION SELECT frame_id FROM memory_versions WHERE until > ? AND until <= ?",
            (begin, end, low, high),
        )
        found = demands.wholes([frame_id for (frame_id,) in rows], "the id of a frame")
        return sorted(frame_id for frame_id in found if frame_id not in self._changed)

    def _go_to(self, connection: apsw.Connection, change: Change, generation: int, frame_ids: list[int]) -> None:
        for frame_id in frame_ids:
            _let_stand(connection, change, frame_id, _held_then(connection, frame_id, generation))


def _held_then(connection: apsw.Connection, frame_id: int, generation: int) -> _Held | None:
    # What the moves made is newer than the session's end: it is never meant.
    try:
        return _held(connection, version_at(connection, frame_id, generation))
    except FrameNotFoundError:
        return None


@attrs.frozen
class _Held:
    """What a frame holds, with its vector if it has one."""

    version: Version
    vector: bytes | None


def _held(connection: apsw.Connection, version: Version) -> _Held:
    return _Held(version, stored_vector(connection, version.version_id))


def _changed_after(origin: Connection, generation: int) -> dict[int, _Held | None]:
    """Return the frames that were changed after *generation*, with what they hold now; None where they are gone."""
    with origin.reading() as connection:
        newer, older = came_after(connection, generation), ended_after(connection, generation)
        gone: dict[int, _Held | None] = {version.frame_id: None for version in versions_of(connection, older)}
        now = {version.frame_id: _held(connection, version) for version in versions_of(connection, newer)}
        return gone | now


def _change(copy: Connection, make: Callable[[apsw.Connection, Change], None]) -> None:
    with copy.writing() as connection, changing(connection, made_ns=0) as change:
        make(connection, change)


def _let_stand(connection: apsw.Connection, change: Change, frame_id: int, held: _Held | None) -> None:
    """Make a frame what *held* says; it may come from another database."""
    now = live_version(connection, frame_id) if is_live(connection, frame_id) else None
    if held is None:
        if now is not None:
            change.remove(now)
    elif now is None or now.fields_hash != held.version.fields_hash:
        change.set_frame(held.version, now, held.vector)
