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

__all__ = ["Found", "FoundHit", "found_in", "hit_count", "hits_of"]

_LISTS = ("hits", "results", "matches", "points", "documents", "sources")
_IDS = ("frame_id", "id", "doc_id", "key")
_SCORES = ("score", "similarity", "relevance_score", "distance", "_distance")
# What follows from the order, and what cuts the text to a query.
_DERIVED = frozenset({"rank", "snippet"})
_SCORE_COLUMNS = ("distances", "scores")
_MEANINGS = {"documents": "text", "metadatas": "metadata", "uris": "uri"}
# Chroma lists here which columns it was asked for, which may be as many as there are hits.
_NO_COLUMN = "included"


@attrs.frozen(kw_only=True)
class FoundHit:
    """
    One hit: which frame, how good, what it holds.

    ``id`` is a digest of the content where the hit names no frame; ``score``
    is None where there is none; ``query`` is which of several queries found
    it, from 1, and 0 where there was one.
    """

    id: FrameId
    score: float | None = None
    content: Mapping[str, Any] = attrs.field(factory=dict, eq=False)
    query: int = 0


@attrs.frozen(kw_only=True)
class Found:
    """
    What a result with hits holds.

    Attributes:
        hits: Best first, those of the first query before those of the next.
        beside: What stands beside them in a map or an object, by name.
        queries: For how many queries they were found.
    """

    hits: list[FoundHit]
    beside: Mapping[str, Any] = attrs.field(factory=dict)
    queries: int = 1


def found_in(value: Any) -> Found | None:
    """Return the hits of a result and what is beside them; None where it holds no hits.  A frame is its own one hit."""
    if isinstance(value, (SearchResult, Answer)):
        return Found(hits=[_of_hit(hit) for hit in value.hits])
    if isinstance(value, Frame):
        return Found(hits=[_of_frame(value)])
    fields = _fields(value)
    if fields is None:
        return _of_list(value, {})
    # What an object keeps for itself is nothing that was found.
    is_object = isinstance(value, Structured)
    shown = {name: item for name, item in fields.items() if not (is_object and str(name).startswith("_"))}
    columns = _of_columns(shown)
    if columns is not None:
        return columns
    hits = next((name for name in _LISTS if isinstance(shown.get(name), (list, tuple))), None)
    return None if hits is None else _of_list(shown.pop(hits), shown)


def _of_list(value: Any, beside: Mapping[str, Any]) -> Found | None:
    if not isinstance(value, (list, tuple)):
        return None
    hits = [_hit(item) for item in value]
    return None if None in hits else Found(hits=[hit for hit in hits if hit is not None], beside=beside)


def hits_of(value: Any) -> list[FoundHit] | None:
    """Return the hits of a result, best first; None where it holds something else."""
    found = found_in(value)
    return None if found is None else found.hits


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


# -- columns --------------------------------------------------------------------------


def _of_columns(fields: Mapping[str, Any]) -> Found | None:
    """Return what a result holds that has a list of ids, or one for each query, and such lists beside it."""
    ids = fields.get("ids")
    if not isinstance(ids, (list, tuple)) or not (ids or _is_empty(fields)):
        return None
    is_nested = bool(ids) and all(isinstance(row, (list, tuple)) for row in ids)
    per_query: Sequence[Sequence[FrameId]] = ids if is_nested else [ids]
    if not all(_is_id(each) for some in per_query for each in some):
        return None
    lengths = [len(some) for some in per_query]
    columns = {
        name: _column(item, lengths, is_nested=is_nested)
        for name, item in fields.items()
        if name not in ("ids", _NO_COLUMN)
    }
    is_several = len(per_query) > 1
    return Found(
        hits=[
            _of_row(found, {name: cells[at][row] for name, cells in columns.items() if cells and cells[at]}, query)
            for at, some in enumerate(per_query)
            for query in (at + 1 if is_several else 0,)
            for row, found in enumerate(some)
        ],
        beside={
            name: item
            for name, item in fields.items()
            # Whether an empty list is a column cannot be seen where there are no hits.
            if name != "ids" and columns.get(name) is None and not (isinstance(item, (list, tuple)) and not item)
        },
        queries=len(per_query),
    )


def _is_empty(fields: Mapping[str, Any]) -> bool:
    return not any(fields.get(name) for name in _LISTS)


def _column(value: Any, lengths: Sequence[int], *, is_nested: bool) -> list[Sequence[Any]] | None:
    """Return the cells of a column for each query, none for one that has none; None for what is no column."""
    column = _listed(value)
    if column is None:
        return None
    cells = [() if item is None else _listed(item) for item in column] if is_nested else [column]
    whole = [some for some in cells if some is not None]
    is_column = len(whole) == len(cells) == len(lengths)
    fits = is_column and all(not some or len(some) == length for some, length in zip(whole, lengths, strict=True))
    return whole if fits else None


def _listed(value: Any) -> Sequence[Any] | None:
    if type(value).__module__ == "numpy" and type(value).__name__ == "ndarray":
        value = value.tolist()
    return value if isinstance(value, (list, tuple)) else None


def _of_row(found: FrameId, row: dict[str, Any], query: int) -> FoundHit:
    score_name = next((name for name in _SCORE_COLUMNS if _number(row.get(name)) is not None), None)
    content = {
        _meaning(name, row): item
        for name, item in row.items()
        if name != score_name and not (item is None and name in _SCORE_COLUMNS)
    }
    score = None if score_name is None else _number(row[score_name])
    return FoundHit(id=found, score=score, content=content, query=query)


def _meaning(name: str, row: Mapping[str, Any]) -> str:
    """Return what rows call that column, so that columns can be held against rows."""
    meaning = _MEANINGS.get(name, name)
    return name if meaning in row else meaning


# -- values ---------------------------------------------------------------------------


def _fields(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, Structured):
        return value.fields
    return value if isinstance(value, Mapping) else None


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
