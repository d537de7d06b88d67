"""What verifying, recovering and compacting a store say."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

__all__ = ["Compaction", "Recovery", "Verification"]


@attrs.frozen(kw_only=True, repr=False)
class Verification:
    """The integrity of a recording; true only when every byte was accounted for."""

    path: str
    sessions: int = 0
    actions: int = 0
    bytes_read: int = 0
    problems: Sequence[str] = ()

    def __bool__(self) -> bool:
        return not self.problems

    def __repr__(self) -> str:
        return f"<Verification {'ok' if self else f'{len(self.problems)} problems'}, {self.sessions} sessions>"


@attrs.frozen(kw_only=True)
class Compaction:
    """
    What compacting a store did; sizes are of its files, in bytes.

    ``skipped`` files are written to by other processes and were left as they are.
    """

    path: str
    skipped: int = 0
    sessions: int = 0
    dropped: int = 0
    bytes_before: int = 0
    bytes_after: int = 0


@attrs.frozen(kw_only=True)
class Recovery:
    """
    What was recovered of a damaged store; true only when nothing was lost.

    Attributes:
        path: The damaged store, which was left as it is.
        target: The new store.
        sessions: How many sessions are in the new one; ``whole_sessions`` of them lack nothing.
        lost_actions: How many actions are known to be missing.
        damage: Where bytes are damaged, and why, as text.
    """

    path: str
    target: str
    sessions: int = 0
    whole_sessions: int = 0
    actions: int = 0
    lost_actions: int = 0
    damage: Sequence[str] = ()

    def __bool__(self) -> bool:
        return self.whole_sessions == self.sessions and not self.lost_actions
