"""Reads where a memory comes from and which forks of it are known."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from replaykit.errors import DamagedError
from replaykit.model import KnownFork, Lineage

if TYPE_CHECKING:
    import apsw

__all__ = ["lineage_of"]


def lineage_of(connection: apsw.Connection, path: str) -> Lineage:
    """
    Return the lineage of the memory that *connection* has open; forks by the time at which they were made.

    Raises:
        DamagedError: What *path* says of it makes no sense.
    """
    try:
        return _lineage(connection)
    except (TypeError, ValueError) as error:
        raise DamagedError(path, 0, "what it says of its parent and its forks makes no sense") from error


def _lineage(connection: apsw.Connection) -> Lineage:
    memory_id, parent_id, parent_path, forked_at, forked_ns = connection.execute(
        "SELECT memory_id, parent_id, parent_path, forked_at, forked_ns FROM memory_identity"
    ).get
    forks = connection.execute(
        "SELECT fork_id, path, forked_at, forked_ns FROM memory_forks ORDER BY forked_ns, fork_id"
    )
    return Lineage(
        memory_id=UUID(bytes=memory_id),
        parent_id=None if parent_id is None else UUID(bytes=parent_id),
        parent_path=parent_path,
        forked_at=forked_at,
        forked_ns=forked_ns,
        forks=tuple(
            KnownFork(memory_id=UUID(bytes=fork_id), path=path, forked_at=at, forked_ns=ns)
            for fork_id, path, at, ns in forks
        ),
    )
