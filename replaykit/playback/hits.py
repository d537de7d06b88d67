"""
Reads the hits out of a result, in whatever shape a memory gives them.

Works on values as recordings give them back; what a live call returned goes
through `outcomes.as_recorded` first, so that both sides of a comparison look
alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from replaykit.model import Answer, Frame, FrameId, Hit, SearchResult, Structured
from replaykit.playback.outcomes import fingerprint

__all__ = ["FoundHit", "beside_hits", "hit_count", "hits_of"]

_LISTS = ("hits", "results", "matches", "points", "documents", "sources")
_IDS = ("frame_id", "id", "doc_id", "key")
_SCORES = ("score", "similarity", "relevance_score", "distance", "_distance")
# What follows from the order, and what cuts the text to a query.
_DERIVED = frozenset({"rank", "snippet"})
_COLUMNS = {"distances": "score", "scores": "score", "documents": "text", "metadatas": "metadata", "uris": "uri"}


@attrs.frozen(kw_only=True)
class FoundHit:
    """
    One hit: which frame, how good, what it holds.

    ``id`` is a digest of the content where the hit names no frame; ``score``
    is None where there is none.
    """

    id: FrameId
    score: float | None = None
    content: Mapping[str, Any] = attrs.field(factory=dict, eq=False)


def hits_of(value: Any) -> list[FoundHit] | None:
    """Return the hits of a result, best first; None where it holds something else.  A frame is its own one hit."""
    if isinstance(value, (SearchResult, Answer)):
        return [_of_hit(hit) for hit in value.hits]
    if isinstance(value, Frame):
        return [_of_frame(value)]
    fields = _fields(value)
    if fields is not None:
        columns = _columns(fields)
        if columns is not None:
            return columns
        name = _list_name(fields)
        value = None if name is None else fields[name]
    if not isinstance(value, (list, tuple)):
        return None
    found = [_hit(item) for item in value]
    return None if None in found else [hit for hit in found if hit is not None]


def beside_hits(value: Any) -> Any:
    """Return a map without the list of its hits; any other value as it is."""
    if not isinstance(value, Mapping) or _columns(value) is not None:
        return value
    hits = _list_name(value)
    return {name: item for name, item in value.items() if name != hits}


def _list_name(fields: Mapping[str, Any]) -> str | None:
    return next((name for name in _LISTS if isinstance(fields.get(name), (list, tuple))), None)


def hit_count(value: Any) -> int | None:
    """Return how many hits `hits_of` finds in *value*; None where it holds something else."""
    if isinstance(value, (SearchResult, Answer)):
        return len(value.hits)
    found = hits_of(value)
    return None if found is None else len(found)


def _of_hit(hit: Hit) -> FoundHit:
    content = {"text": hit.text, "title": hit.title, "uri": hit.uri, "metadata": hit.metadata}
    return FoundHit(id=hit.frame_id, score=hit.score, content=content)


def _of_frame(frame: Frame) -> FoundHit:
    # When it came and which write made it is no part of what a reader looks for.
    content = {"content": frame.content, "title": frame.title, "uri": frame.uri, "metadata": frame.metadata}
    return FoundHit(id=frame.frame_id, content=content)


def _hit(item: Any) -> FoundHit | None:
    if isinstance(item, Hit):
        return _of_hit(item)
    if _is_id(item) and not isinstance(item, str):
        return FoundHit(id=item)
    if isinstance(item, (list, tuple)):
        return _pair(item)
    fields = _fields(item)
    return None if fields is None else _of_fields(fields)


def _pair(item: Sequence[Any]) -> FoundHit | None:
    """Return the hit of a pair of a document and its score."""
    if len(item) != 2 or _number(item[1]) is None:
        return None
    if _is_id(item[0]):
        return FoundHit(id=item[0], score=_number(item[1]))
    document = _hit(item[0])
    return None if document is None else attrs.evolve(document, score=_number(item[1]))


def _of_fields(fields: Mapping[str, Any]) -> FoundHit:
    id_name = next((name for name in _IDS if _is_id(fields.get(name))), None)
    score_name = next((name for name in _SCORES if _number(fields.get(name)) is not None), None)
    content = {key: item for key, item in fields.items() if key not in {id_name, score_name} | _DERIVED}
    score = None if score_name is None else _number(fields[score_name])
    if id_name is not None:
        return FoundHit(id=fields[id_name], score=score, content=content)
    return FoundHit(id=fingerprint(content).hex()[:16], score=score, content=content)


def _columns(fields: Mapping[str, Any]) -> list[FoundHit] | None:
    """Return the hits of a result that has a list of ids, or one for each query, and such lists beside it."""
    ids = fields.get("ids")
    if not isinstance(ids, (list, tuple)) or not ids:
        return None
    if all(isinstance(row, (list, tuple)) for row in ids):
        per_query = [
            _columns({name: column[at] for name, column in fields.items() if _reaches(column, at)})
            for at in range(len(ids))
        ]
        return [hit for hits in per_query for hit in hits or ()]
    if not all(_is_id(item) for item in ids):
        return None
    rows: list[dict[str, Any]] = [{} for _ in ids]
    for name, meaning in _COLUMNS.items():
        column = fields.get(name)
        if isinstance(column, (list, tuple)) and len(column) == len(ids):
            for row, item in zip(rows, column, strict=True):
                row[meaning] = item
    return [
        FoundHit(id=found, score=_number(row.pop("score", None)), content=row)
        for found, row in zip(ids, rows, strict=True)
    ]


def _reaches(column: Any, at: int) -> bool:
    return isinstance(column, (list, tuple)) and at < len(column)


def _fields(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, Structured):
        return value.fields
    return value if isinstance(value, Mapping) else None


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
