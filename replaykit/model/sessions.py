"""A recording: the session, its checkpoints, its settings and its summary."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

import attrs

from replaykit.errors import UsageError
from replaykit.model.actions import ZERO_HASH, FrameId, ReplayAction

__all__ = [
    "ACCOUNT",
    "Checkpoint",
    "Playable",
    "ReplayConfig",
    "ReplayManifest",
    "ReplaySession",
    "SessionState",
    "SessionSummary",
    "StateSnapshot",
    "UNCOVERED",
    "uncovered_in",
]

ACCOUNT = "replaykit.account"
"""The key in a session's metadata under which its recorder says what it left out and hid."""

SessionState = Literal["open", "sealed", "interrupted"]


@attrs.frozen(kw_only=True, repr=False)
class StateSnapshot:
    """
    What a memory held at one moment.

    ``frame_ids`` are the live frames (in imported sessions as stored); they
    may be read on first use.  An index hash is None where the memory has no
    such index.
    """

    frame_count: int = 0
    frame_ids: Sequence[FrameId] = ()
    lex_index_hash: bytes | None = None
    vec_index_hash: bytes | None = None
    wal_sequence: int = 0
    generation: int = 0

    def __repr__(self) -> str:
        return f"<StateSnapshot {self.frame_count} frames, generation {self.generation}>"


@attrs.frozen(kw_only=True, repr=False)
class Checkpoint:
    """
    The state of the memory at a point of a session.

    ``at_sequence`` is the sequence of the last action before it, 0 if none.
    ``state_hash`` is 32 zero bytes where the target has no state to hash.
    """

    id: int
    session_id: UUID
    at_sequence: int
    timestamp_ns: int
    state_hash: bytes = ZERO_HASH
    snapshot: StateSnapshot = attrs.field(factory=StateSnapshot)

    @property
    def timestamp_secs(self) -> int:
        """Whole seconds since 1970 UTC."""
        return self.timestamp_ns // 1_000_000_000

    def __repr__(self) -> str:
        return f"<Checkpoint {self.id} after action {self.at_sequence}, {self.state_hash[:4].hex()}>"


UNCOVERED = "replaykit.uncovered"
"""The key of a session's metadata under which it says what was called and is not recorded."""


def uncovered_in(metadata: Mapping[str, Any]) -> dict[str, int]:
    """Return what a session with this *metadata* did not cover: methods with the number of their calls."""
    found = metadata.get(UNCOVERED)
    if not isinstance(found, Mapping):
        return {}
    return {name: count for name, count in found.items() if isinstance(name, str) and type(count) is int}


def _at_least(lowest: int) -> Callable[[Any, Any, Any], None]:
    def check(_config: Any, attribute: Any, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise UsageError(f"{attribute.name}={value!r}: give a whole number of at least {lowest}")

    return check


@attrs.frozen(kw_only=True)
class ReplayConfig:
    """
    How a session records.

    Attributes:
        auto_checkpoint_interval: Checkpoint after this many completed
            top-level actions; 0 switches it off.
        max_actions_per_session: Seal the session after this many actions.
        auto_record: Start a session as soon as the memory is opened.

    Raises:
        UsageError: A number is none, or too small.
    """

    auto_checkpoint_interval: int = attrs.field(default=0, validator=_at_least(0))
    max_actions_per_session: int | None = attrs.field(default=None, validator=attrs.validators.optional(_at_least(1)))
    auto_record: bool = False


@attrs.frozen(kw_only=True)
class ReplayManifest:
    """Where a segment lies in its file and what it holds."""

    segment_offset: int
    segment_size: int
    session_count: int
    total_actions: int
    version: int


@attrs.frozen
class Playable:
    """Whether a session can answer calls, and why not."""

    verdict: Literal["yes", "partly", "no"]
    reasons: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.verdict != "no"

    def __str__(self) -> str:
        return self.verdict


@attrs.frozen(kw_only=True)
class SessionSummary:
    """One line of a listing; made without reading an action.  ``lost`` and ``gaps`` are those of `ReplaySession`."""

    session_id: UUID
    name: str | None
    created_secs: int
    ended_secs: int | None
    action_count: int
    checkpoint_count: int
    duration_secs: int
    state: SessionState
    lost: int = 0
    gaps: int = 0


def _timestamp(seconds: int) -> str:
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return str(seconds)


@attrs.frozen(kw_only=True, repr=False)
class ReplaySession:
    """
    One recording.

    ``actions`` is a lazy sequence: an action is read from the store when it
    is looked at.  ``lost`` counts calls that could not be kept, ``late``
    calls that began after the end, ``gaps`` the places of its live log where
    records were damaged, which may be actions.  ``memory_id`` says on which memory of
    ours it was recorded (``mv.lineage.memory_id``); None where on none, or
    by a release that did not say.
    """

    session_id: UUID
    name: str | None
    created_ns: int
    ended_ns: int | None
    actions: Sequence[ReplayAction]
    checkpoints: Sequence[Checkpoint] = ()
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    version: int = 1
    state: SessionState = "sealed"
    ended_by: str = ""
    lost: int = 0
    late: int = 0
    gaps: int = 0
    parent_session: UUID | None = None
    start_generation: int | None = None
    memory_id: UUID | None = None
    capture: str = "full"
    redaction: str = ""
    playable: Playable = Playable("yes")

    @property
    def created_secs(self) -> int:
        """Whole seconds since 1970 UTC."""
        return self.created_ns // 1_000_000_000

    @property
    def ended_secs(self) -> int | None:
        """Whole seconds since 1970 UTC, None while open."""
        return None if self.ended_ns is None else self.ended_ns // 1_000_000_000

    @property
    def uncovered(self) -> Mapping[str, int]:
        """
        Methods of wrapped objects that were called and are not recorded, ``"Class.method"`` with the number of calls.

        The map, or the adapter, says neither what they are nor that they are no
        operation.  Known once the session has ended.
        """
        return uncovered_in(self.metadata)

    @property
    def redactions(self) -> Mapping[str, int]:
        """How often each rule of redaction hid something; told once the session has ended."""
        return {str(name): count for name, count in self._counted("redacted", dict).items() if type(count) is int}

    @property
    def excluded(self) -> int:
        """Calls that ``include=`` and ``exclude=`` left out."""
        return int(self._counted("excluded", int))

    @property
    def dropped(self) -> int:
        """Earlier actions that a session kept on failure had no room for."""
        return int(self._counted("dropped", int))

    @property
    def own_sessions(self) -> int:
        """Sessions that a program opened itself while this one stood for the whole of it: their calls are not here."""
        return int(self._counted("own_sessions", int))

    @property
    def kept_because(self) -> str:
        """Why a session was kept on failure: exception, error, slow, wanted, signal or call; else empty."""
        return str(self._counted("kept", str))

    @property
    def sample_rate(self) -> float:
        """The share of sessions that were recorded from their start as this one was, 1.0 where all were."""
        return float(self._counted("sample_rate", float) or 1.0)

    def _counted(self, name: str, kind: type) -> Any:
        # Another release, or somebody else, may have written it.
        account = self.metadata.get(ACCOUNT)
        value = account.get(name) if isinstance(account, Mapping) else None
        return value if type(value) is kind else kind()

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat dict per action: what a table or a data frame needs."""
        return [_record(self, action) for action in self.actions]

    def to_pandas(self) -> Any:
        """
        Return the actions as a pandas ``DataFrame``.

        Raises:
            ImportError: pandas is not installed.
        """
        import pandas

        return pandas.DataFrame(self.to_records())

    def __repr__(self) -> str:
        label = f" {self.name!r}" if self.name else ""
        return f"<ReplaySession {self.session_id}{label} {self.state}, {len(self.actions)} actions>"


def _record(session: ReplaySession, action: ReplayAction) -> dict[str, Any]:
    return {
        "session_id": str(session.session_id),
        "sequence": action.sequence,
        "kind": action.kind,
        "name": action.name,
        "source": action.source,
        "time": _timestamp(action.timestamp_secs),
        "duration_ms": action.duration_ns / 1e6,
        "parent": action.parent,
        "input_preview": action.input_preview,
        "output_preview": action.output_preview,
        "affected_frames": list(action.affected_frames),
        "error": None if action.error is None else f"{action.error.type}: {action.error.message}",
        "flags": sorted(action.flags),
        **{
            key: value.hex() if isinstance(value, bytes) else value
            for key, value in attrs.asdict(action.action_type, recurse=False).items()
        },
    }
