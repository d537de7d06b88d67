"""
Full-text search over the live frames: any text is a query, better hits come first.

The score is BM25 (k1 1.2, b 0.75) with the inverse document frequency
``ln(1 + (N - n + 0.5) / (n + 0.5))``, which stays positive where a word is in
most frames.  Words are joined by OR.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

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

# SQLite's own bm25() holds this for any word that is in half of the rows or
# more: then in a small memory all scores are about a millionth.
_SQLITE_IDF_FLOOR = 1e-6


@attrs.frozen
class Scored:
    """A frame that answers to a query."""

    frame_id: int
    score: float


_COUNT_SQL = "SELECT count(*) FROM memory_index WHERE memory_index MATCH ?"
_SCORES_SQL = """
    SELECT rowid AS frame_id, -bm25(memory_index) * ? AS score FROM memory_index WHERE memory_index MATCH ?
"""


def rank(connection: apsw.Connection, query: str, k: int, *, frame_count: int) -> list[Scored]:
    """
    Return the *k* best live frames for *query*, best first, equals by ascending id.

    Empty when the query has no words or nothing has one of them.
    """
    weighted = _weighted_phrases(connection, query, frame_count)
    if not weighted:
        return []
    bindings = [value for pair in weighted for value in pair]
    rows = connection.execute(_ranking_sql(len(weighted)), (*bindings, min(k, frame_count)))
    return [Scored(frame_id, score) for frame_id, score in rows]


def _weighted_phrases(connection: apsw.Connection, query: str, frame_count: int) -> list[tuple[float, str]]:
    weighted = []
    for word in words(query)[:MAX_WORDS]:
        phrase = f'"{spaced(word).strip()}"'
        found = connection.execute(_COUNT_SQL, (phrase,)).get
        if found:
            weighted.append((_weight(found, frame_count), phrase))
    return weighted


def _weight(found: int, frame_count: int) -> float:
    """Return the factor that turns SQLite's bm25() for one phrase into our score."""
    odds = (frame_count - found + 0.5) / (found + 0.5)
    sqlite_idf = math.log(odds)
    return math.log1p(odds) / (sqlite_idf if sqlite_idf > 0 else _SQLITE_IDF_FLOOR)


def _ranking_sql(phrases: int) -> str:
    # Rounding makes frames with equal words equal in score, whatever the
    # order of the additions was.
    return f"""
        WITH scored AS MATERIALIZED ({" UNION ALL ".join([_SCORES_SQL] * phrases)})
        SELECT frame_id, round(sum(score), 9) AS total FROM scored
        GROUP BY frame_id ORDER BY total DESC, frame_id LIMIT ?
    """  # noqa: S608 - all that varies is the number of equal parts


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
