"""What a memory says of its past: where it comes from, and what pruning took away."""

from __future__ import annotations

from uuid import UUID

import attrs

from replaykit.model.actions import FrameId
from replaykit.model.results import SearchResult

__all__ = ["Bisection", "KnownFork", "Lineage", "Pruning"]


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


@attrs.frozen(kw_only=True, repr=False)
class Bisection:
    """
    The write after which a find gives another answer.

    Attributes:
        generation: The first generation with the other answer.
        last_good: The kept generation before it.
        changes: What was done to frames between the two, in words.
        lost: Frames that are found no more; so ``new`` and ``moved``.
        before: What the find gave at the good generation.
        after: What it gives at ``generation``.
        probes: How many states were asked.
        session_id: The session that recorded the write, and its ``sequence`` there; None if no session did.
    """

    generation: int
    last_good: int
    changes: tuple[str, ...] = ()
    lost: tuple[FrameId, ...] = ()
    new: tuple[FrameId, ...] = ()
    moved: tuple[FrameId, ...] = ()
    before: SearchResult = attrs.field(factory=SearchResult)
    after: SearchResult = attrs.field(factory=SearchResult)
    probes: int = 0
    session_id: UUID | None = None
    sequence: int | None = None

    def __repr__(self) -> str:
        return f"<Bisection generation {self.generation}: {', '.join(self.changes[:3])}>"
