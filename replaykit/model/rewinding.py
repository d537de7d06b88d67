"""What a memory says of its past: where it comes from, and what pruning took away."""

from __future__ import annotations

from uuid import UUID

import attrs

__all__ = ["KnownFork", "Lineage", "Pruning"]


@attrs.frozen(kw_only=True)
class KnownFork:
    """
    A fork that a memory has noted.

    It is noted before its file appears, so one that a crash kept from being
    made stands here too.
    """

    memory_id: UUID
    path: str
    forked_at: int
    forked_ns: int


@attrs.frozen(kw_only=True)
class Lineage:
    """
    Where a memory comes from and what was forked off it.

    ``parent_id`` and what belongs to it are None for a memory that is no
    fork.  ``forked_at`` is the generation that the two have in common.
    """

    memory_id: UUID
    parent_id: UUID | None = None
    parent_path: str | None = None
    forked_at: int | None = None
    forked_ns: int | None = None
    forks: tuple[KnownFork, ...] = ()


@attrs.frozen(kw_only=True)
class Pruning:
    """
    What pruning took away: old versions of frames and the generations that needed them.

    ``bytes`` is the room in the file that new frames and sessions can take.
    ``kept`` counts the generations that can still be gone back to.
    """

    versions: int = 0
    generations: int = 0
    kept: int = 0
    bytes: int = 0
