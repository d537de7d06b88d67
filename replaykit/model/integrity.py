"""What verifying, diagnosing, recovering and compacting a store say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import UUID

import attrs

__all__ = [
    "Compaction",
    "Depth",
    "Diagnosis",
    "Finding",
    "Recovery",
    "RescuedMemory",
    "Severity",
    "Usage",
    "Verification",
]

Depth = Literal["full", "bytes"]
"""
``full``: every byte, every action and every value; ``bytes``: every byte as a disk or a copy may have changed it, but
what actions and values hold is taken to be what was written.
"""

Severity = Literal["note", "warning", "damage", "unreadable"]
"""``note``: worth knowing; ``warning``: to be done; ``damage``: bytes are lost; ``unreadable``: nothing opens it."""

_SEVERITIES: tuple[Severity, ...] = ("note", "warning", "damage", "unreadable")


@attrs.frozen(kw_only=True, repr=False)
class Verification:
    """
    The integrity of a recording; true only when all that was looked at is accounted for.

    Attributes:
        depth: How much was looked at.
        gaps: At how many places records of live logs were damaged before they
            were published: what is missing there no byte of the store shows.
        live_logs: Of how many logs no byte was looked at, since sessions that
            are being recorded write them.
        frames: Of a memory's file, how many frames agree with their hashes, or do not, as *problems* say; None where
            there is no memory, or its frames were left out.
        versions: How many older versions of frames were checked likewise.
        unchecked: Of a memory's file, what was not looked at; empty means every byte was.
    """

    path: str
    sessions: int = 0
    actions: int = 0
    bytes_read: int = 0
    problems: Sequence[str] = ()
    depth: Depth = "full"
    gaps: int = 0
    live_logs: int = 0
    frames: int | None = None
    versions: int = 0
    unchecked: Sequence[str] = ()

    def __bool__(self) -> bool:
        return not self.problems

    def __repr__(self) -> str:
        return f"<Verification {'ok' if self else f'{len(self.problems)} problems'}, {self.sessions} sessions>"


@attrs.frozen(kw_only=True)
class Finding:
    """
    One thing that is wrong with a store, or worth knowing.

    Attributes:
        where: The file, with bytes where that helps; recorded text in it is as it was recorded.
        what: What was found there.
        next_step: What to do about it; empty where there is nothing to do.
    """

    severity: Severity
    where: str
    what: str
    next_step: str = ""


@attrs.frozen(kw_only=True)
class Usage:
    """
    Whose the bytes of a store are.

    Attributes:
        files: The store's own files, live logs not counted; ``bytes`` is what those hold.
        live_logs: The logs of open and abandoned sessions; ``live_log_bytes`` is what those hold.
        dead_bytes: About how much a compaction gives back of what was deleted.
        evidence_bytes: What recoveries kept of torn ends, in files beside the store.
        by_session: About how many bytes each session takes.
    """

    files: int = 0
    bytes: int = 0
    live_logs: int = 0
    live_log_bytes: int = 0
    dead_bytes: int = 0
    evidence_bytes: int = 0
    by_session: Mapping[UUID, int] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Diagnosis:
    """What a look at all of a store's files found, gravest first; true when there is nothing to do."""

    path: str
    findings: Sequence[Finding] = ()
    usage: Usage = attrs.field(factory=Usage)

    @property
    def worst(self) -> Severity:
        """The gravest severity; ``note`` where there is nothing to do."""
        return max((finding.severity for finding in self.findings), key=_SEVERITIES.index, default="note")

    def __bool__(self) -> bool:
        return self.worst == "note"


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
class RescuedMemory:
    """
    What was copied of a memory's frames; true only when nothing of it was lost.

    Attributes:
        frames: How many frames are in the new memory.
        lost_frames: How many are known to be missing.
        lost_versions: How many older versions of frames cannot be read; the states that need them are gone.
        whole: The frames and all that can be gone back to are there.
        damage: What could not be copied, and why, as text.
    """

    frames: int = 0
    lost_frames: int = 0
    lost_versions: int = 0
    whole: bool = True
    damage: Sequence[str] = ()

    def __bool__(self) -> bool:
        return self.whole


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
        lacking: The sessions that are not whole, and how many actions each is known to miss; of one whose live log
            was damaged that is not known.
        memory: What was copied of the frames; None where the damaged store is no memory's file.
    """

    path: str
    target: str
    sessions: int = 0
    whole_sessions: int = 0
    actions: int = 0
    lost_actions: int = 0
    damage: Sequence[str] = ()
    lacking: Mapping[UUID, int] = attrs.field(factory=dict)
    memory: RescuedMemory | None = None

    def __bool__(self) -> bool:
        is_memory_whole = self.memory is None or bool(self.memory)
        return self.whole_sessions == self.sessions and not self.lost_actions and is_memory_whole
