"""Finds the write after which a find gives something else, by going back half of the way each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from replaykit.errors import UsageError
from replaykit.memory.hindsight import Hindsight
from replaykit.memory.history import changes_at, kept_generations
from replaykit.model import Bisection, ReplayAction, SearchResult
from replaykit.playback.hits import hits_of
from replaykit.playback.retrieval import retrieval_diff
from replaykit.storage.catalogue import Catalogue

if TYPE_CHECKING:
    from replaykit.memory.engine import Engine

__all__ = ["bisect", "find_arguments", "with_writer"]


def bisect(
    engine: Engine,
    find: Callable[[Engine], SearchResult],
    *,
    good: int,
    bad: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Bisection:
    """
    Return the first generation after *good*, up to *bad*, from which on *find* gives another answer.

    Where the answer changes several times, it is one of those changes.  It
    takes about log2 of the number of generations between.

    Raises:
        UsageError: *good* does not come before *bad*, or both give the same answer.
        CheckpointNotFoundError: One of them cannot be gone back to.
    """
    if good >= bad:
        raise UsageError(f"good={good} must come before bad={bad}")
    past = Hindsight(engine.connection, bad, with_later_changes=False)
    try:
        return _Search(engine, find, past, progress).between(good, bad)
    finally:
        past.close()


class _Search:
    def __init__(
        self,
        engine: Engine,
        find: Callable[[Engine], SearchResult],
        past: Hindsight,
        progress: Callable[[int, int], None],
    ) -> None:
        self._engine = engine
        self._find = find
        self._past = past
        self._progress = progress
        self._probes = 0

    def between(self, good: int, bad: int) -> Bisection:
        wanted = self._at(good)
        last = self._at(bad)
        if not _differ(wanted, last):
            raise UsageError(f"the find gives the same at generation {good} and at {bad}: there is nothing to look for")
        with self._engine.connection.reading() as connection:
            kept = kept_generations(connection, good, bad)
        low, high, answer = 0, len(kept) - 1, last
        while high - low > 1:
            middle = (low + high) // 2
            self._progress(self._probes, self._probes + (high - low).bit_length())
            seen = self._at(kept[middle])
            if _differ(wanted, seen):
                high, answer = middle, seen
            else:
                low = middle
        return self._found(kept[low], kept[high], wanted, answer)

    def _found(self, before: int, generation: int, wanted: SearchResult, answer: SearchResult) -> Bisection:
        diff = retrieval_diff(hits_of(wanted) or [], hits_of(answer) or [])
        with self._engine.connection.reading() as connection:
            frames = changes_at(connection, before, generation)
        return Bisection(
            generation=generation,
            last_good=before,
            changes=tuple(frames),
            lost=diff.lost,
            new=diff.new,
            moved=tuple(move.id for move in diff.moved),
            before=wanted,
            after=answer,
            probes=self._probes,
        )

    def _at(self, generation: int) -> SearchResult:
        self._probes += 1
        return self._find(self._engine.over(self._past.connection_at(generation)))


def _differ(recorded: SearchResult, seen: SearchResult) -> bool:
    was, is_now = hits_of(recorded) or [], hits_of(seen) or []
    return [(hit.id, dict(hit.content)) for hit in was] != [(hit.id, dict(hit.content)) for hit in is_now]


def find_arguments(find: str | ReplayAction, **defaults: Any) -> dict[str, Any]:
    """
    Return the arguments of a find, recorded or given by its query.

    Raises:
        UsageError: It is neither, or a recorded action is no find by words.
    """
    if isinstance(find, str):
        return {"query": find, **defaults}
    if not isinstance(find, ReplayAction):
        raise UsageError(f"bisect() takes a query or a recorded find, not {type(find).__name__}")
    if find.kind != "find" or find.name != "find":
        raise UsageError(f"action {find.sequence} is {find.name}, not a find: only finds can be looked into")
    return dict(find.arguments)


def with_writer(found: Bisection, catalogue: Catalogue) -> Bisection:
    """Return *found* with the recorded action that made its generation, if a session has it."""
    for summary in reversed(catalogue.list_sessions()):
        session = catalogue.get_session(summary.session_id)
        if session.start_generation is not None and session.start_generation >= found.generation:
            continue
        for action in session.actions:
            is_write = action.kind in ("put", "put_many", "update", "delete")
            if action.generation == found.generation and is_write and action.error is None:
                return attrs.evolve(found, session_id=session.session_id, sequence=action.sequence)
    return found
