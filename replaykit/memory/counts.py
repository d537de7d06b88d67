"""
How many live frames have a phrase, kept from one search to the next.

Counting walks all places of a phrase, so a count is made once.  It holds until
the memory changes; where frames were only added, the new ones are counted on top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from replaykit.memory import demands
from replaykit.memory.schema import FOREVER, State

if TYPE_CHECKING:
    import apsw

__all__ = ["TOKENIZER", "PhraseCounts", "prepare_counting"]

TOKENIZER: Final = ("porter", ["unicode61", "remove_diacritics", "2"])
"""How the full-text index cuts texts into terms; the same words as in the table's definition."""

_MAX_KEPT = 20_000
_MAX_GENERATIONS = 10_000

_COUNT_SQL = "SELECT count(*) FROM memory_index WHERE memory_index MATCH ?"
_ADDED_SQL = f"{_COUNT_SQL} AND rowid >= ?"
_TERMS = "temp.replaykit_terms"
_TERM_SQL = f"SELECT doc FROM {_TERMS} WHERE term = ?"  # noqa: S608 - a constant
_ENDED_SQL = f"""
    SELECT 1 FROM memory_versions WHERE until > ? AND until <= ? AND until < {FOREVER} LIMIT 1
"""  # noqa: S608 - a constant; with it the index of ended versions serves


def prepare_counting(connection: apsw.Connection) -> None:
    """Let phrases of one term be counted from the index's own list, which takes a third of the time."""
    query_only = connection.execute("PRAGMA query_only").get
    connection.execute("PRAGMA query_only=OFF")
    connection.execute(f"CREATE VIRTUAL TABLE IF NOT EXISTS {_TERMS} USING fts5vocab(main, memory_index, row)")
    connection.execute(f"PRAGMA query_only={query_only}")


class PhraseCounts:
    """The counts of one memory; its lock is the caller's."""

    def __init__(self) -> None:
        self._state = State()
        self._kept: dict[str, tuple[int, int]] = {}

    def of(self, connection: apsw.Connection, phrases: list[str], state: State) -> list[int]:
        """Return in how many live frames each of *phrases* is, where *state* is the present one."""
        import apsw

        if connection.txn_state("main") == apsw.SQLITE_TXN_WRITE:
            # Inside a write there is more than the state says.
            return [_counted(connection, phrase) for phrase in phrases]
        self._keep_what_holds(connection, state)
        return [self._count(connection, phrase) for phrase in phrases]

    def _keep_what_holds(self, connection: apsw.Connection, state: State) -> None:
        if state.generation == self._state.generation:
            return
        if len(self._kept) > _MAX_KEPT or not _only_added(connection, self._state, state):
            self._kept.clear()
        self._state = state

    def _count(self, connection: apsw.Connection, phrase: str) -> int:
        found, below = self._kept.get(phrase, (0, 0))
        if not below:
            found = _counted(connection, phrase)
        elif below < self._state.next_id:
            found += connection.execute(_ADDED_SQL, (phrase, below)).get
        self._kept[phrase] = found, self._state.next_id
        return found


def _only_added(connection: apsw.Connection, before: State, now: State) -> bool:
    """Return whether nothing but new frames came between two states; False where that cannot be told."""
    made = now.generation - before.generation
    if not 0 < made <= _MAX_GENERATIONS or now.frame_count - before.frame_count != now.next_id - before.next_id:
        return False
    # A pruned generation takes with it the versions that ended there.
    known = connection.execute(
        "SELECT count(*) FROM memory_generations WHERE generation BETWEEN ? AND ?", (before.generation, now.generation)
    ).get
    return known == made + 1 and connection.execute(_ENDED_SQL, (before.generation, now.generation)).get is None


def _counted(connection: apsw.Connection, phrase: str) -> int:
    term = _single_term(connection, phrase)
    if term is not None and connection.table_exists("temp", _TERMS.removeprefix("temp.")):
        found = connection.execute(_TERM_SQL, (term,)).get or 0
    else:
        found = connection.execute(_COUNT_SQL, (phrase,)).get
    return demands.whole(found, "the number of frames with a word")


def _single_term(connection: apsw.Connection, phrase: str) -> str | None:
    """Return the term that *phrase* is looked up by, or None where that is not exactly one."""
    import apsw

    tokenizer = connection.fts5_tokenizer(TOKENIZER[0], list(TOKENIZER[1]))
    flags: dict[str, Any] = {"include_offsets": False, "include_colocated": False}
    terms = list(tokenizer(phrase.strip('"').encode(), apsw.FTS5_TOKENIZE_QUERY, None, **flags))
    return str(terms[0]) if len(terms) == 1 else None
