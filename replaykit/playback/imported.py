"""What can be said of calls that memvid recorded: it kept queries, hashes and frame ids, no arguments or results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from replaykit.model import (
    MEMVID,
    Divergence,
    DivergenceType,
    Find,
    FrameId,
    ReplayAction,
    Tolerances,
)
from replaykit.playback.differences import brief
from replaykit.playback.hits import hits_of
from replaykit.playback.judging import frames_changed, judge
from replaykit.playback.outcomes import Outcome

__all__ = ["find_differences", "find_query", "imported_differences", "imported_essence", "is_imported", "why_not"]

_IDS = frozenset({"frame_id", "frame_ids"})


def is_imported(action: ReplayAction) -> bool:
    """Return whether memvid recorded it."""
    return action.source == MEMVID


# -- running again ------------------------------------------------------------------


def why_not(action: ReplayAction, rules: Tolerances) -> str:
    """Return why a call of memvid's cannot be run and compared; empty for one that can."""
    if action.kind == "ask":
        return "memvid kept neither how it was asked nor all of the answer"
    if rules.ids == "content":
        return "memvid kept the ids of the hits only, not what they held"
    return ""


def find_query(action: ReplayAction) -> dict[str, Any]:
    """
    Return the arguments that run a find of memvid's again.

    How many hits were asked for is not kept: as many as were found are asked
    for, so of hits that came later only those are seen that rank among them.
    """
    kind = action.action_type
    assert isinstance(kind, Find)
    return {"query": kind.query, "k": max(1, kind.result_count)}


def find_differences(action: ReplayAction, seen: Outcome, rules: Tolerances) -> list[Divergence]:
    """Return which other frames a find gives than memvid recorded; there is nothing else to compare."""
    if seen.error is not None:
        return judge(action, seen, rules)
    frames = seen.frames or tuple(hit.id for hit in hits_of(seen.value) or ())
    return frames_changed(action, frames, rules)


# -- comparing sessions -------------------------------------------------------------


def imported_essence(action: ReplayAction) -> list[Any]:
    """Return what counts of a call that memvid recorded."""
    fields = attrs.asdict(action.action_type, recurse=False)
    return [fields, list(action.affected_frames), action.output_hash]


def imported_differences(recorded: ReplayAction, other: ReplayAction, rules: Tolerances) -> list[Divergence]:
    """
    Return in what two calls differ of which memvid recorded one or both.

    Where it recorded both all that it kept is compared; else the query and
    the frames that were found, which both have.
    """
    if not is_imported(recorded) or not is_imported(other):
        return [*_fields(recorded, other, ("query",)), *_frames(recorded, other, rules)]
    names = tuple(attrs.fields_dict(type(recorded.action_type)))
    found = [*_fields(recorded, other, names), *_frames(recorded, other, rules)]
    if recorded.output_hash != other.output_hash:
        was, now = recorded.output_hash.hex(), other.output_hash.hex()
        found.append(_changed(recorded, DivergenceType.OUTPUT_MISMATCH, "output_hash", was, now))
    return found


def _fields(recorded: ReplayAction, other: ReplayAction, names: Sequence[str]) -> Iterator[Divergence]:
    for name in names:
        was, now = (getattr(action.action_type, name, None) for action in (recorded, other))
        if name in _IDS or was == now:
            continue
        kind = DivergenceType.ARGUMENTS_CHANGED
        if name in ("result_count", "count"):
            kind = DivergenceType.RESULT_COUNT_DIFFERENCE
        yield _changed(recorded, kind, name, _shown(was), _shown(now))


def _frames(recorded: ReplayAction, other: ReplayAction, rules: Tolerances) -> list[Divergence]:
    if recorded.kind in ("find", "ask"):
        return frames_changed(recorded, other.affected_frames, rules)
    was, now = _frames_of(recorded), _frames_of(other)
    # A put's number is that of memvid's log: only its own can be compared.
    if was == now or not (is_imported(recorded) and is_imported(other)):
        return []
    return [_changed(recorded, DivergenceType.OUTPUT_MISMATCH, "frames", _shown(was), _shown(now))]


def _frames_of(action: ReplayAction) -> list[FrameId]:
    kind = action.action_type
    named = getattr(kind, "frame_ids", ())
    one = getattr(kind, "frame_id", None)
    return [*named, *(() if one is None else (one,)), *action.affected_frames]


def _shown(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _changed(action: ReplayAction, kind: DivergenceType, where: str, was: str, now: str) -> Divergence:
    return Divergence(
        at_sequence=action.sequence,
        action_type=action.action_type.name,
        divergence_type=kind,
        original_preview=brief(was),
        replay_preview=brief(now),
        details=f"{where.replace('_', ' ')} was {brief(was)}, is {brief(now)}",
        where=where,
    )
