"""
Full-text search over the live frames: any text is a query, better hits come first.

The score is BM25 (k1 1.2, b 0.75) with the inverse document frequency
``ln(1 + (N - n + 0.5) / (n + 0.5))``, which stays positive where a word is in
most frames.  Words are joined by OR.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from replaykit.memory.counts import PhraseCounts
from replaykit.memory.ranking import Passes, Scored, terms_of, top
from replaykit.memory.schema import State
from replaykit.memory.script import spaced, words

if TYPE_CHECKING:
    import apsw

__all__ = [
    "MAX_WORDS",
    "SEARCHED_CHARS",
    "SNIPPET_CHARS",
    "Scored",
    "first_occurrence",
    "rank",
    "snippet",
    "words",
]

MAX_WORDS = 96
"""Of a longer query the first so many distinct words count."""

SNIPPET_CHARS = 240
"""How long a snippet is at most."""

SEARCHED_CHARS = 2_000_000
"""Where a match lies beyond this, the beginning of the text is shown."""

_SNIPPET_LEAD = 60
_MAX_TRIES = 1_000


def rank(
    connection: apsw.Connection,
    query: str,
    k: int,
    *,
    state: State,
    counts: PhraseCounts,
    passes: Passes | None = None,
) -> list[Scored]:
    """
    Return the *k* best live frames for *query*, best first, equals by ascending id.

    Empty when the query has no words or nothing has one of them.  With
    *passes* only frames count whose id it accepts.
    """
    phrases = [f'"{spaced(word).strip()}"' for word in words(query)[:MAX_WORDS]]
    terms = terms_of(phrases, counts.of(connection, phrases, state), state.frame_count)
    return top(connection, terms, k, passes=passes)


def snippet(text: str, query_words: Sequence[str]) -> str:
    """Return a part of *text* around the first of *query_words*, or its beginning, in one line."""
    at = first_occurrence(text, query_words)
    begin = max(0, at - _SNIPPET_LEAD)
    if begin:
        # Begin with a whole word, unless there is no gap before the match.
        gap = text.find(" ", begin, at)
        begin = gap + 1 if gap >= 0 else begin
    part = " ".join(text[begin : begin + SNIPPET_CHARS].split())
    return ("... " if begin else "") + part + (" ..." if begin + SNIPPET_CHARS < len(text) else "")


def first_occurrence(text: str, query_words: Sequence[str]) -> int:
    """
    Return where the longest of *query_words* that is in *text* begins first, 0 if none is.

    Occurrences inside other words come last.  Only the first
    `SEARCHED_CHARS` characters are looked at.
    """
    lowered = text[:SEARCHED_CHARS].lower()
    longest_first = sorted(query_words[:MAX_WORDS], key=lambda word: (-len(word), word))
    for find in (_word_start, str.find):
        for word in longest_first:
            at = find(lowered, word)
            if at >= 0:
                return at
    return 0


def _word_start(lowered: str, word: str) -> int:
    at = lowered.find(word)
    for _ in range(_MAX_TRIES):
        if at <= 0 or not lowered[at - 1].isalnum():
            return at
        at = lowered.find(word, at + 1)
    return -1
