"""Reads where a memory comes from and which forks of it are known."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from replaykit.errors import DamagedError
from replaykit.memory import demands
from replaykit.memory.history import has_table
from replaykit.memory.schema import load_generation
from replaykit.model import KnownFork, Lineage

if TYPE_CHECKING:
    import apsw

__all__ = ["identity_of", "lineage_of", "shared_with"]


def lineage_of(connection: apsw.Connection, path: str) -> Lineage:
    """
    Return the lineage of the memory that *connection* has open; forks by the time at which they were made.

    Raises:
        DamagedError: What *path* says of it makes no sense.
    """
    try:
        return _lineage(connection)
    except DamagedError as error:
        reason = f"what it says of its parent and its forks makes no sense: {error.reason}"
        raise DamagedError(path, 0, reason) from error


def identity_of(connection: apsw.Connection) -> UUID:
    """
    Return the id of the memory: a copy of its file has the same, a fork its own.

    Raises:
        DamagedError: There is none.
    """
    return _uuid(connection.execute("SELECT memory_id FROM memory_identity").get)


def shared_with(connection: apsw.Connection, memory_id: UUID) -> int | None:
    """
    Return up to which generation this memory has all that the one with *memory_id* had; None if it is no descendant.

    Raises:
        DamagedError: What it says of where it comes from makes no sense.
    """
    if identity_of(connection) == memory_id:
        return load_generation(connection)
    wanted = (memory_id.bytes,)
    found = connection.execute("SELECT forked_at FROM memory_identity WHERE parent_id = ?", wanted).get
    if found is None and has_table(connection, "memory_ancestors"):
        found = connection.execute("SELECT forked_at FROM memory_ancestors WHERE memory_id = ?", wanted).get
    return demands.whole_or_none(found, "the generation that it was forked at")


def _lineage(connection: apsw.Connection) -> Lineage:
    row = connection.execute("SELECT memory_id, parent_id, parent_path, forked_at, forked_ns FROM memory_identity").get
    memory_id, parent_id, parent_path, forked_at, forked_ns = demands.columns(row, 5, "its identity")
    forks = connection.execute(
        "SELECT fork_id, path, forked_at, forked_ns FROM memory_forks ORDER BY forked_ns, fork_id"
    )
    return Lineage(
        memory_id=_uuid(memory_id),
        parent_id=None if parent_id is None else _uuid(parent_id),
        parent_path=None if parent_path is None else demands.text(parent_path, "the path of its parent"),
        forked_at=demands.whole_or_none(forked_at, "the generation that it was forked at"),
        forked_ns=demands.whole_or_none(forked_ns, "the time at which it was forked"),
        forks=tuple(_known_fork(*fork) for fork in forks),
    )


def _known_fork(fork_id: object, path: object, forked_at: object, forked_ns: object) -> KnownFork:
    return KnownFork(
        memory_id=_uuid(fork_id),
        path=demands.text(path, "the path of a fork"),
        forked_at=demands.whole(forked_at, "the generation of a fork"),
        forked_ns=demands.whole(forked_ns, "the time of a fork"),
    )


def _uuid(stored: object) -> UUID:
    return UUID(bytes=demands.blob(stored, "the id of a memory", size=16))
