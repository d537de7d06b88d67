"""The parts of a result by which it is compared: its hits as rankings, and the rest as a whole."""

from __future__ import annotations

from typing import Any

import attrs

from replaykit.model import Answer
from replaykit.playback.hits import FoundHit, found_in
from replaykit.playback.measured import without_measured, without_times

__all__ = ["Parts", "parts_of"]


@attrs.frozen(kw_only=True)
class Parts:
    """
    What counts of a result.

    Attributes:
        hits: What a find or ask found, best first; None where it holds no hits, and of other kinds.
        queries: For how many queries.
        rest: What else counts, by name; the whole result where there are no hits.
    """

    hits: list[FoundHit] | None = None
    queries: int = 1
    rest: Any = None


def parts_of(kind: str, value: Any) -> Parts:
    """Return what counts of the result *value* of a call of that *kind*."""
    found = found_in(value) if kind in ("find", "ask") else None
    if isinstance(value, Answer):
        rest = {"text": value.text, "provider": value.provider, "model": value.model}
        return Parts(hits=None if found is None else found.hits, rest=rest)
    if found is None:
        return Parts(rest=without_times(kind, value))
    return Parts(hits=found.hits, queries=found.queries, rest=without_measured(found.beside))
