"""
What blocks hold: openings, actions, checkpoints, gaps, sealings and cards, as maps and as values.

Maps have short text keys; ``docs/reference/format.md`` lists them.  An
unknown key is ignored, so that an older reader opens a newer recording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs

__all__ = ["Card", "Entry", "Gap", "Opening", "Part", "Sealing"]

Entry = Mapping[str, Any]
"""An action or checkpoint as it is stored: plain CBOR values under short text keys."""


@attrs.frozen(kw_only=True)
class Opening:
    """How a session began."""

    session_id: UUID
    name: str | None
    created_ns: int
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    redaction: str = ""
    capture: str = "full"
    parent_session: UUID | None = None
    start_generation: int | None = None
    resumed: bool = False


@attrs.frozen(kw_only=True)
class Sealing:
    """How a session ended; *metadata* is what it had then, and replaces the opening's."""

    state: str
    ended_ns: int
    ended_by: str = ""
    duration_ns: int = 0
    lost: int = 0
    late: int = 0
    metadata: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Gap:
    """Bytes of a live log that are no whole record: kept, never dropped."""

    offset: int
    reason: str
    data: bytes


@attrs.frozen(kw_only=True)
class Part:
    """
    What is published at once: some actions of one session.

    ``number`` counts the parts of a session from 0.  ``actions`` ascend by
    sequence within a part; a call that outlived its part is in a later one.
    The last part has a ``sealing``.  ``log_through`` is how many bytes of
    the live log all parts so far cover.
    """

    number: int
    opening: Opening
    actions: Sequence[Entry] = ()
    checkpoints: Sequence[Entry] = ()
    gaps: Sequence[Gap] = ()
    sealing: Sealing | None = None
    log_through: int = 0


# Without slots: a frozen class fills itself sooner so, and a listing makes
# thousands.
@attrs.frozen(kw_only=True, slots=False)
class Card:
    """
    A session in a listing.

    ``state`` is ``sealed``, ``interrupted`` or ``open`` (parts are published,
    the sealing is not).  ``parts`` is how many parts there are.
    """

    session_id: UUID
    name: str | None
    created_ns: int
    ended_ns: int | None
    state: str
    action_count: int
    checkpoint_count: int
    duration_ns: int = 0
    ended_by: str = ""
    lost: int = 0
    late: int = 0
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    parent_session: UUID | None = None
    parts: int = 1
    log_through: int = 0
    by_kind: Mapping[str, int] = attrs.field(factory=dict)
    capture: str = "full"
    redaction: str = ""
    start_generation: int | None = None
