"""
The best frames for some words, exactly, without looking at every frame that has one of them.

The score is BM25: the sum over the words of ``weight * f * (k1 + 1) / (f + K)``,
where f is how often the frame has the word, K grows with the frame's length,
and the weight is the inverse document frequency.  A word so adds less than
``weight * (k1 + 1)``, whatever the frame.  Frames that have the strongest words
together come first; the k-th best score so far then rules out all
combinations whose bounds do not reach it (MaxScore).  What comes out is
what scoring all frames would give.

Each row that is looked at costs a call of Python.  Where many are, SQLite's
own ``bm25()`` bounds their scores first (`screening`), and few are left.
"""

from __future__ import annotations

import bisect
import heapq
import math
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs

from replaykit.memory import demands
from replaykit.memory.screening import Screen

if TYPE_CHECKING:
    import apsw

__all__ = ["Costs", "Scored", "Term", "prepare_ranking", "terms_of", "top"]

_K1 = 1.2
_B = 0.75

SCORE_DIGITS = 9
"""Scores are rounded, so that frames with equal words are equal whatever the order of the additions was."""

_ROUNDING = 10.0**-SCORE_DIGITS
"""How much a rounded score may be above the sum, and more."""

_BRANCHING_SHARE = 0.2
"""A word with less of the sum of all bounds rules out next to nothing."""

_PREPARED: weakref.WeakSet[Any] = weakref.WeakSet()

_KTH_THERE = (
    "SELECT bm25(memory_index) AS score FROM memory_index WHERE memory_index MATCH ? ORDER BY score LIMIT 1 OFFSET ?"
)
_ONE_ROW = "SELECT replaykit_visit(memory_index, ?2) FROM memory_index WHERE memory_index MATCH ?1 LIMIT 1"

_Found = Callable[[float, int], None]

Passes = Callable[[int], bool]
"""``(frame_id) -> bool``: whether a frame may be a hit."""


@attrs.frozen(kw_only=True)
class Costs:
    """
    When which way is the faster one; the results are the same.

    Attributes:
        few_rows: So many frames are scored faster than they are told apart.
        few_matches: So many rows are screened faster than they are told apart.
        long_list: Walking through more places than this costs more than looking some frames up.
        lookup: Looking up one frame takes as long as walking through so many places.
        skip: The same for the next frame in a walk.
        visit: Scoring a row takes as long as walking through so many places.
        screen: The same for bounding its score by SQLite's.
        count: The same for each row of each word, which SQLite counts before that.
    """

    few_rows: int = 500
    few_matches: int = 2_500
    long_list: int = 150_000
    lookup: int = 3_000
    skip: int = 256
    visit: int = 100
    screen: int = 40
    count: int = 4


_USUAL = Costs()


@attrs.frozen
class Scored:
    """A frame that answers to a query."""

    frame_id: int
    score: float


@attrs.frozen
class Term:
    """A word of the query, as an FTS5 phrase, with how many frames have it."""

    phrase: str
    found: int
    weight: float

    @property
    def bound(self) -> float:
        """What it can add to a score at most."""
        return self.weight * (_K1 + 1)


def terms_of(phrases: Sequence[str], counts: Sequence[int], frame_count: int) -> list[Term]:
    """Return those of *phrases* that a frame has, rarest first."""
    # Inside a write more frames are in than are counted.
    frame_count = max(frame_count, *counts, 0)
    terms = [
        Term(phrase, found, math.log1p((frame_count - found + 0.5) / (found + 0.5)))
        for phrase, found in zip(phrases, counts, strict=True)
        if found
    ]
    return sorted(terms, key=lambda term: term.found)


def prepare_ranking(connection: apsw.Connection) -> None:
    """Let *connection* hand the rows of a search to a visitor; needed once."""
    if connection not in _PREPARED:
        # The visitor is a Python object, which the declared types do not know.
        connection.register_fts5_function("replaykit_visit", cast(Any, _visit))
        _PREPARED.add(connection)


def _visit(row: apsw.FTS5ExtensionApi, visitor: Callable[[apsw.FTS5ExtensionApi], int]) -> int:
    return visitor(row)


def top(
    connection: apsw.Connection, terms: Sequence[Term], k: int, *, passes: Passes | None = None, costs: Costs = _USUAL
) -> list[Scored]:
    """
    Return the *k* best frames that have one of *terms*, best first, equals by ascending id.

    *terms* are ordered as `terms_of` orders them.  Frames that do not pass
    do not count.
    """
    if not terms:
        return []
    prepare_ranking(connection)
    search = _Search(connection, terms, k, passes, costs)
    search.run()
    return [Scored(-negative_id, score) for score, negative_id in sorted(search.best, reverse=True)]


@attrs.frozen(kw_only=True)
class _Frames:
    """Which frames to score: those with all of *held* (or any), none of *missing*, whether or not with *optional*."""

    held: list[Term]
    any_held: bool = False
    missing: list[Term] = attrs.field(factory=list)
    optional: list[Term] = attrs.field(factory=list)

    def count(self) -> int:
        """Return how many there are at most."""
        return (sum if self.any_held else min)(term.found for term in self.held)

    def is_worth_screening(self, costs: Costs) -> bool:
        """Whether SQLite's score bounds ours, and is had for less than a visit of each."""
        # A query with optional words has others twice: SQLite counts them twice.
        counted = sum(term.found for term in [*self.held, *self.missing])
        asking = 2 * costs.lookup + counted * costs.count
        return not self.optional and self.count() * (costs.visit - costs.screen) > asking

    def query(self) -> str:
        """Return the FTS5 query that matches them."""
        query = (" OR " if self.any_held else " AND ").join(term.phrase for term in self.held)
        if self.optional:
            # A phrase is seen only if it is in the query, and must not be
            # demanded: so whatever has what is held is let through.
            query = f"({query}) AND ({' OR '.join(term.phrase for term in [*self._let_through(), *self.optional])})"
        if self.missing:
            query = f"({query}) NOT ({' OR '.join(term.phrase for term in self.missing)})"
        return query

    def counting(self) -> list[tuple[int, float]]:
        """Return place and bound of the phrases in the query that count."""
        first = len(self.held) + len(self._let_through())
        return [(number, term.bound) for number, term in enumerate(self.held)] + [
            (first + number, term.bound) for number, term in enumerate(self.optional)
        ]

    def _let_through(self) -> list[Term]:
        return self.held if self.any_held else self.held[:1]


class _Search:
    """One search: its k best frames so far, and the score that others have to reach."""

    def __init__(
        self, connection: apsw.Connection, terms: Sequence[Term], k: int, passes: Passes | None, costs: Costs
    ) -> None:
        self._connection = connection
        self._terms = terms
        self._k = k
        self._passes = passes
        self._costs = costs
        self._floors: list[float] = []
        self.best: list[tuple[float, int]] = []
        self._floor = -math.inf
        self._done: frozenset[int] = frozenset()
        self._lengths: tuple[float, float] | None = None
        self._row_count = 0

    def run(self) -> None:
        """Visit all combinations of terms that can still reach the k best."""
        everything = _Frames(held=list(self._terms), any_held=True)
        if everything.count() <= self._costs.few_matches:
            self._visit_rows(everything, [])
            return
        branching = self._branching_terms()
        others = [term for term in self._terms if term not in branching]
        self._branch([], branching, [], others)
        # What is left are the frames that have none of the strong terms.  Of
        # many weak ones each step takes as many as were taken before.
        done = 0
        while done < (needed := self._needed(others)):
            upto = min(max(1, 2 * done), needed)
            self._visit_rows(
                _Frames(held=others[done:upto], any_held=True, missing=[*branching, *others[:done]]), others[upto:]
            )
            done = upto

    def _branching_terms(self) -> list[Term]:
        if self._terms[0].found <= self._costs.few_rows:
            return list(self._terms[:1])
        least = _bound(self._terms) * _BRANCHING_SHARE
        return [term for term in self._terms if term.bound >= least] or list(self._terms[:1])

    def _branch(self, held: list[Term], undecided: list[Term], missing: list[Term], others: list[Term]) -> None:
        """Visit the frames with all of *held*, none of *missing* and any of the rest, strong combinations first."""
        if not self._reaches(_bound(held) + _bound(undecided) + _bound(others)):
            return
        if undecided:
            term, *rest = undecided
            self._branch([*held, term], rest, missing, others)
            self._branch(held, rest, [*missing, term], others)
        elif held:
            self._visit_rows(_Frames(held=held, missing=missing), others)

    def _needed(self, terms: Sequence[Term]) -> int:
        """Return how many of *terms* a frame may have first of all: with the rest alone it cannot reach the best."""
        return sum(self._reaches(_bound(terms[number:])) for number in range(len(terms)))

    def _reaches(self, bound: float) -> bool:
        return bound + _ROUNDING >= self._floor

    def _visit_rows(self, frames: _Frames, others: list[Term]) -> None:
        rows = frames.count()
        late = [] if rows <= self._costs.few_rows else [term for term in others if self._is_late(term, rows)]
        soon = attrs.evolve(frames, optional=[term for term in others if term not in late])
        if not late:
            self._score(soon, self._keep)
            return
        slack = _bound(late)
        partial: list[tuple[float, int]] = []
        self._score(soon, lambda score, row: self._note(score, row, slack, partial), slack=slack)
        partial.sort(key=lambda item: (-item[0], item[1]))
        walk = sum(min(term.found, rows * self._costs.skip) for term in late)
        self._complete(attrs.evolve(frames, optional=others), partial, slack, walk)

    def _is_late(self, term: Term, rows: int) -> bool:
        return term.found > self._costs.long_list and term.found > 8 * rows

    def _complete(self, frames: _Frames, partial: list[tuple[float, int]], slack: float, walk: int) -> None:
        """Score frames whole, best first: one by one, or in one walk over *walk* places where many are left."""
        for number, (score, frame_id) in enumerate(partial):
            if not self._reaches(score + slack):
                return
            if number % self._k == 0 and self._left(partial[number:], slack) * self._costs.lookup > walk:
                self._done = frozenset(frame_id for _, frame_id in partial[:number])
                self._score(frames, self._keep_new)
                return
            self._score(frames, self._keep, frame_id=frame_id)

    def _left(self, partial: list[tuple[float, int]], slack: float) -> int:
        return bisect.bisect_right(partial, slack - self._floor + _ROUNDING, key=lambda item: -item[0])

    def _note(self, score: float, frame_id: int, slack: float, partial: list[tuple[float, int]]) -> None:
        """Remember a frame whose score is at least *score* and at most *slack* more."""
        if self._passes is None or self._passes(frame_id):
            partial.append((score, frame_id))
            self._raise_floor(self._floors, score - _ROUNDING)

    def _keep(self, score: float, frame_id: int) -> None:
        """Count a frame whose whole score is known."""
        entry = (round(score, SCORE_DIGITS), -frame_id)
        is_full = len(self.best) == self._k
        if is_full and entry < self.best[0]:
            return
        if self._passes is not None and not self._passes(frame_id):
            return
        (heapq.heapreplace if is_full else heapq.heappush)(self.best, entry)
        if len(self.best) == self._k:
            self._floor = max(self._floor, self.best[0][0])

    def _keep_new(self, score: float, frame_id: int) -> None:
        if frame_id not in self._done:
            self._keep(score, frame_id)

    def _raise_floor(self, floors: list[float], score: float) -> None:
        if len(floors) < self._k:
            heapq.heappush(floors, score)
        elif score > floors[0]:
            heapq.heapreplace(floors, score)
        if len(floors) == self._k:
            self._floor = max(self._floor, floors[0])

    def _score(self, frames: _Frames, found: _Found, *, slack: float = 0.0, frame_id: int | None = None) -> None:
        """Call *found* with score and id of each of *frames* that can reach the floor."""
        import apsw

        query = frames.query()
        sql = "SELECT 1 FROM memory_index WHERE memory_index MATCH ?"
        bindings: list[Any] = [query]
        if frame_id is not None:
            sql += " AND rowid = ?"
            bindings.append(frame_id)
        elif frames.is_worth_screening(self._costs):
            sql += " AND bm25(memory_index) <= ?"
            bindings.append(-self._needed_there(frames, query, slack + _ROUNDING))
        # Last, since it costs most.
        sql += " AND replaykit_visit(memory_index, ?)"
        bindings.append(apsw.pyobject(self._visitor(frames.counting(), found, slack + _ROUNDING)))
        self._connection.execute(sql, bindings).fetchall()

    def _needed_there(self, frames: _Frames, query: str, slack: float) -> float:
        """Return what SQLite's score of a row is at least where ours and *slack* reach the floor."""
        screen = Screen.of(frames.held, self._rows_there(query))
        if self._floor == -math.inf and self._passes is None and frames.count() >= self._k:
            kth = self._connection.execute(_KTH_THERE, (query, self._k - 1)).get
            if kth is not None:
                self._floor = screen.floor(-kth) - _ROUNDING
        return screen.needed(self._floor - slack)

    def _rows_there(self, query: str) -> int:
        """Return how many rows the index has by its own count, which in a write is not that of the frames."""
        if not self._row_count:
            import apsw

            self._connection.execute(_ONE_ROW, (query, apsw.pyobject(self._count_rows))).fetchall()
        return self._row_count

    def _count_rows(self, row: apsw.FTS5ExtensionApi) -> int:
        self._row_count = row.row_count
        return 0

    def _visitor(
        self, weighted: list[tuple[int, float]], found: _Found, slack: float
    ) -> Callable[[apsw.FTS5ExtensionApi], int]:
        # Functions without calls to others of ours, and the cheapest tests
        # first: they run for each row, and are most of what a search costs.
        def visit(row: apsw.FTS5ExtensionApi) -> int:
            base, slope = self._lengths or self._average(row)
            locations = row.phrase_locations
            seen = []
            bound = slack
            for number, weight in weighted:
                title, body = locations(number)
                times = len(title) + len(body)
                if times:
                    seen.append((weight, times))
                    bound += weight * times / (times + base)
            # The length has to be looked up, which takes longest.
            if bound < self._floor:
                return 0
            length = base + slope * row.column_size()
            score = 0.0
            for weight, times in seen:
                score += weight * times / (times + length)
            if score + slack >= self._floor:
                found(score, row.rowid)
            return 0

        def visit_only(row: apsw.FTS5ExtensionApi) -> int:
            base, slope = self._lengths or self._average(row)
            # What is missing does not occur: all that does is the one word.
            times = row.inst_count
            if weight * times / (times + base) + slack < self._floor:
                return 0
            score = weight * times / (times + base + slope * row.column_size())
            if score + slack >= self._floor:
                found(score, row.rowid)
            return 0

        ((_, weight),) = weighted[:1]
        return visit_only if len(weighted) == 1 else visit

    def _average(self, row: apsw.FTS5ExtensionApi) -> tuple[float, float]:
        words, rows = row.column_total_size(), row.row_count
        if words <= 0 or rows <= 0:
            raise demands.damage("the index has a row, and counts none")
        average = words / rows
        self._lengths = _K1 * (1 - _B), _K1 * _B / average
        return self._lengths


def _bound(terms: Sequence[Term]) -> float:
    return sum(term.bound for term in terms)
