"""The single hits and places in which what came back differs: the first ones of each divergence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from replaykit.model import FieldChange, HitChange
from replaykit.playback.differences import Difference, brief, differences, word_diff
from replaykit.playback.hits import FoundHit
from replaykit.playback.retrieval import RetrievalDiff

__all__ = ["MOST", "content_changes", "drifted", "field_changes", "lost", "moved", "new", "place_of"]

MOST = 5
"""So many changes of a divergence are kept; how many there are is said."""

_MOST_WORD_DIFFS = 3
"""Comparing long texts by words takes milliseconds each."""

_TEXTS = ("text", "content", "page_content", "document", "title", "uri")
_LONGEST = 1_000


# -- hits ---------------------------------------------------------------------------


def lost(recorded: Sequence[FoundHit], at: Sequence[int]) -> tuple[HitChange, ...]:
    """Return the first of the hits *at* these positions that only the recording has."""
    return tuple(
        HitChange(change="lost", frame=hit.id, recorded_rank=rank, recorded_score=hit.score, **_about(hit))
        for rank, hit in _ranked(recorded, at)
    )


def new(seen: Sequence[FoundHit], at: Sequence[int]) -> tuple[HitChange, ...]:
    """Return the first of the hits *at* these positions that were only seen."""
    return tuple(
        HitChange(change="new", frame=hit.id, seen_rank=rank, seen_score=hit.score, **_about(hit))
        for rank, hit in _ranked(seen, at)
    )


def _ranked(hits: Sequence[FoundHit], at: Sequence[int]) -> Iterator[tuple[int, FoundHit]]:
    return ((place_of(hits, position)[1], hits[position]) for position in at[:MOST])


def place_of(hits: Sequence[FoundHit], at: int) -> tuple[int | None, int]:
    """Return of the hit at a position which query found it, None where there was one, and its rank there, from 1."""
    query = hits[at].query
    return query or None, at + 1 - sum(1 for hit in hits[:at] if hit.query != query)


def moved(diff: RetrievalDiff, recorded: Sequence[FoundHit], seen: Sequence[FoundHit]) -> tuple[HitChange, ...]:
    """Return the first hits that stand elsewhere."""
    ranks = ((move.recorded_rank, move.seen_rank) for move in diff.moved[:MOST])
    return tuple(_both("moved", recorded, seen, *each) for each in ranks)


def drifted(diff: RetrievalDiff, recorded: Sequence[FoundHit], seen: Sequence[FoundHit]) -> tuple[HitChange, ...]:
    """Return the first hits with another score."""
    ranks = ((drift.recorded_rank, drift.seen_rank) for drift in diff.drifts[:MOST])
    return tuple(_both("score", recorded, seen, *each) for each in ranks)


def _both(change: str, recorded: Sequence[FoundHit], seen: Sequence[FoundHit], rank: int, its: int) -> HitChange:
    was, now = recorded[rank - 1], seen[its - 1]
    return HitChange(
        change=change,
        frame=was.id,
        recorded_rank=place_of(recorded, rank - 1)[1],
        seen_rank=place_of(seen, its - 1)[1],
        recorded_score=was.score,
        seen_score=now.score,
        **_about(was),
    )


def _about(hit: FoundHit) -> dict[str, Any]:
    return {"holds": _holds(hit), "query": hit.query or None}


def _holds(hit: FoundHit) -> str:
    """Return briefly what people would know the hit by."""
    for name in _TEXTS:
        text = hit.content.get(name)
        if isinstance(text, str) and text:
            return brief(text[:_LONGEST])
    return brief(dict(hit.content)) if hit.content else ""


# -- values -------------------------------------------------------------------------


def field_changes(found: Sequence[Difference], under: str) -> tuple[FieldChange, ...]:
    """Return the first of the places *found* in a value that is called *under*."""
    return _first([(under, item) for item in found[:MOST]])


def content_changes(changed: Iterable[tuple[FoundHit, FoundHit]]) -> tuple[FieldChange, ...]:
    """Return the first fields in which hits hold something else than they did."""
    found: list[tuple[str, Difference]] = []
    for was, now in changed:
        found += [(f"frame {was.id}", item) for item in differences(dict(was.content), dict(now.content))]
        if len(found) >= MOST:
            break
    return _first(found)


def _first(found: Sequence[tuple[str, Difference]]) -> tuple[FieldChange, ...]:
    changes: list[FieldChange] = []
    for under, item in found[:MOST]:
        is_diffed = sum(1 for change in changes if change.diff) < _MOST_WORD_DIFFS
        changes.append(_change(under, item, words=is_diffed))
    return tuple(changes)


def _change(under: str, item: Difference, *, words: bool) -> FieldChange:
    where = f"{under}{'' if item.where.startswith('[') or not item.where else '.'}{item.where}"
    diff = word_diff(*item.texts) if words and item.texts is not None else ""
    return FieldChange(where=where, recorded=item.recorded, seen=item.seen, diff=diff)
