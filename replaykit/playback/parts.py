"""The parts of a result by which it is compared: its hits as a ranking, and the rest as a whole."""

from __future__ import annotations

from typing import Any

import attrs

from replaykit.model import Answer
from replaykit.playback.hits import FoundHit, beside_hits, hits_of
from replaykit.playback.outcomes import without_times

__all__ = ["Parts", "parts_of"]


@attrs.frozen(kw_only=True)
class Parts:
    """
    What counts of a result.

    Attributes:
        hits: What a find or ask found, best first; None where it holds no hits, and of other kinds.
        rest: What else counts; all of it where there are no hits.
    """

    hits: list[FoundHit] | None = None
    rest: Any = None


def parts_of(kind: str, value: Any) -> Parts:
    """Return what counts of the result *value* of a call of that *kind*."""
    hits = hits_of(value) if kind in ("find", "ask") else None
    if isinstance(value, Answer):
        return Parts(hits=hits, rest={"text": value.text, "provider": value.provider, "model": value.model})
    if hits is None:
        return Parts(rest=without_times(kind, value))
    return Parts(hits=hits, rest=None if kind == "find" else beside_hits(without_times(kind, value)))
