"""Parts of many sessions, for several machines: told by the sessions' ids alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from uuid import UUID

from replaykit.errors import UsageError
from replaykit.model import SessionSummary

__all__ = ["in_shard", "part_of"]


def in_shard(session_id: UUID, number: int, count: int) -> bool:
    """Return whether a session belongs to shard *number* of *count*: to just one of them, anywhere and always."""
    digest = hashlib.sha256(session_id.bytes).digest()
    return int.from_bytes(digest[:8]) % count == number - 1


def part_of(sessions: Sequence[SessionSummary], shard: str | None) -> list[SessionSummary]:
    """
    Return the sessions of *shard*, as in ``2/8``; all of them for None.

    Raises:
        UsageError: There is no such part.
    """
    if shard is None:
        return list(sessions)
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", str(shard))
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise UsageError(f"shard={shard!r}: give the number of a part and how many there are, as in 2/8")
    return [summary for summary in sessions if in_shard(summary.session_id, number, count)]
