"""Sessions that another recorder made: what they lack, and what became of them when they were imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import attrs

from replaykit.model.sessions import Playable

__all__ = ["MEMVID", "ImportReport", "ImportStatus", "ImportedSession", "playable_import"]

MEMVID = "memvid"
"""
What memvid captured: queries, previews, hashes and frame ids, but neither arguments nor results.

The ``capture`` of imported sessions, and the ``source`` of their actions.
"""

ImportStatus = Literal["imported", "skipped", "different", "lost", "unreadable"]
"""
``imported``: it is in the store now; ``skipped``: it was before;
``different``: the store has another recording under its id, and keeps that;
``lost``: bytes of it are left in the file, which does not name it any more;
``unreadable``: the file names it and it cannot be read.
"""


def playable_import(*more: str) -> Playable:
    """Return what an imported session can and cannot do; *more* reasons come last."""
    return Playable(
        "no",
        (
            "memvid kept no arguments but the query and no results, only hashes, previews of 512 bytes and frame ids",
            "its finds can be replayed on a live memory: replay(session, memory, base='live')",
            *more,
        ),
    )


@attrs.frozen(kw_only=True)
class ImportedSession:
    """
    What became of one session of a file.

    ``session_id`` is None where even that cannot be read, ``sessions`` how
    many are meant (more than one only where they are unreadable together).
    ``reason`` says why it was not imported, or what was changed.
    """

    file: str
    status: ImportStatus
    session_id: UUID | None = None
    name: str | None = None
    action_count: int = 0
    sessions: int = 1
    reason: str = ""


@attrs.frozen(kw_only=True, repr=False)
class ImportReport:
    """What an import did, session by session; true only when the store has all that the files name."""

    target: str
    items: Sequence[ImportedSession] = ()
    notes: Sequence[str] = ()

    def count(self, status: ImportStatus) -> int:
        """Return how many sessions have this *status*."""
        return sum(item.sessions for item in self.items if item.status == status)

    def __bool__(self) -> bool:
        return not self.count("unreadable") and not self.count("different")

    def __repr__(self) -> str:
        return f"<ImportReport {self.count('imported')} imported, {self.count('unreadable')} unreadable>"
