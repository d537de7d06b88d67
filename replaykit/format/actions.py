"""Stored entries <-> the model: `ReplayAction` and `Checkpoint`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, overload
from uuid import UUID

import attrs

from replaykit.errors import DamagedError
from replaykit.format.entries import Entry
from replaykit.format.lazy import LazySequence
from replaykit.format.soundness import demand_sound_action, demand_sound_checkpoint
from replaykit.format.thaw import thaw
from replaykit.model import (
    KINDS,
    ZERO_HASH,
    ActionType,
    Checkpoint,
    Failure,
    FrameId,
    ReplayAction,
    StateSnapshot,
    ToolCall,
)

__all__ = ["action_from_entry", "checkpoint_entry", "checkpoint_from_entry", "failure_of"]


_FIELDS = {cls: frozenset(field.name for field in attrs.fields(cls)) for cls in KINDS.values()}


def action_from_entry(entry: Entry) -> ReplayAction:
    """
    Return the action of a stored entry.

    Raises:
        DamagedError: A field has a type that it cannot have.
    """
    demand_sound_action(entry)
    try:
        return _action(entry)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DamagedError("", 0, f"an action entry is not as the format says: {error!r}") from error


def _action(entry: Entry) -> ReplayAction:
    arguments = thaw(entry.get("in", {}))
    return ReplayAction(
        sequence=entry["i"],
        timestamp_ns=entry.get("t", 0),
        action_type=_action_type(entry),
        name=entry.get("nm", ""),
        source=entry.get("src", ""),
        input_hash=entry.get("ih", ZERO_HASH),
        output_hash=entry.get("oh", ZERO_HASH),
        input_preview=entry.get("ip", ""),
        output_preview=entry.get("op", ""),
        affected_frames=tuple(entry.get("f", ())),
        duration_ns=entry.get("d", 0),
        arguments=arguments if isinstance(arguments, dict) else {},
        output=thaw(entry.get("out")),
        error=failure_of(entry.get("err")),
        parent=entry.get("p"),
        generation=entry.get("g"),
        flags=frozenset(entry.get("fl", ())),
        k=entry.get("x", {}).get("k"),
        input_length=entry.get("in_n"),
        output_length=entry.get("out_n"),
    )


def _action_type(entry: Entry) -> ActionType:
    cls = KINDS.get(entry["k"])
    if cls is None:
        # A kind of a newer release: kept, shown as the call of a function.
        return ToolCall(tool=str(entry["k"]))
    known = _FIELDS[cls]
    fields = {key: value for key, value in entry.get("x", {}).items() if key in known}
    if "frame_ids" in fields:
        fields["frame_ids"] = tuple(fields["frame_ids"])
    return cls(**fields)


def failure_of(value: Any) -> Failure | None:
    """Return the failure that a stored error is, None for None."""
    if value is None:
        return None
    failure = thaw(value)
    return failure if isinstance(failure, Failure) else Failure(type="unknown", message=str(failure))


# -- checkpoints --------------------------------------------------------------


def checkpoint_entry(checkpoint: Checkpoint, *, with_ids: bool) -> dict[str, Any]:
    """Return the stored entry of *checkpoint*; without ids where the memory itself can tell them later."""
    snapshot = checkpoint.snapshot
    entry: dict[str, Any] = {
        "c": checkpoint.id,
        "i": checkpoint.at_sequence,
        "t": checkpoint.timestamp_ns,
        "sh": checkpoint.state_hash,
        "n": snapshot.frame_count,
        "w": snapshot.wal_sequence,
        "g": snapshot.generation,
    }
    for key, value in (("lex", snapshot.lex_index_hash), ("vec", snapshot.vec_index_hash)):
        if value is not None:
            entry[key] = value
    if with_ids:
        entry["ids"] = list(snapshot.frame_ids)
    return entry


def checkpoint_from_entry(
    entry: Entry, session_id: UUID, frames_at: Callable[[int], Sequence[FrameId]] | None = None
) -> Checkpoint:
    """
    Return the checkpoint of a stored entry; *frames_at* reads frame ids that it does not carry.

    Raises:
        DamagedError: A field is missing or has a type that it cannot have.
    """
    demand_sound_checkpoint(entry)
    return Checkpoint(
        id=entry["c"],
        session_id=session_id,
        at_sequence=entry["i"],
        timestamp_ns=entry.get("t", 0),
        state_hash=entry.get("sh", ZERO_HASH),
        snapshot=StateSnapshot(
            frame_count=entry.get("n", 0),
            frame_ids=_frame_ids(entry, frames_at),
            lex_index_hash=entry.get("lex"),
            vec_index_hash=entry.get("vec"),
            wal_sequence=entry.get("w", 0),
            generation=entry.get("g", 0),
        ),
    )


def _frame_ids(entry: Mapping[str, Any], frames_at: Callable[[int], Sequence[FrameId]] | None) -> Sequence[FrameId]:
    if "ids" in entry:
        return tuple(entry["ids"])
    if frames_at is None:
        return ()
    return _LazyIds(entry.get("g", 0), frames_at)


class _LazyIds(LazySequence[FrameId]):
    """Frame ids that are read from their memory when they are looked at."""

    def __init__(self, generation: int, frames_at: Callable[[int], Sequence[FrameId]]) -> None:
        self._generation = generation
        self._frames_at = frames_at
        self._ids: tuple[FrameId, ...] | None = None

    def _loaded(self) -> tuple[FrameId, ...]:
        if self._ids is None:
            self._ids = tuple(self._frames_at(self._generation))
        return self._ids

    @overload
    def __getitem__(self, index: int) -> FrameId: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FrameId]: ...
    def __getitem__(self, index: int | slice) -> FrameId | Sequence[FrameId]:
        return self._loaded()[index]

    def __len__(self) -> int:
        return len(self._loaded())

    def __iter__(self) -> Iterator[FrameId]:
        return iter(self._loaded())
