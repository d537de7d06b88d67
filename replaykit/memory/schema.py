"""
The memory's tables: made in a fresh file, checked in an existing one, an older file's brought up to date.

A frame is kept as versions.  A version is valid from the generation ``since``
up to, but not with, the generation ``until``; a live one has `FOREVER` there.
An update or delete sets ``until`` and changes nothing else, so the memory can
be read as of any generation.  Contents have a table of their own, which ending
a version does not rewrite and which versions with equal content share.

Each generation that can be gone back to has a row with its time; a gap
between two rows is what pruning took.  The identity says which memory this is
and, of a fork, where it comes from.

Texts are TEXT, but BLOB (UTF-8 with surrogates passed through) where they are
no valid Unicode.  The full-text index holds live frames only and no content.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

from replaykit.errors import DamagedError, UnsupportedVersionError
from replaykit.memory import demands, state_hash

if TYPE_CHECKING:
    import apsw

__all__ = [
    "ANCESTORS_TABLE",
    "DUPLICATES_INDEX",
    "FOREVER",
    "PRUNED_TABLE",
    "VECTOR_TABLES",
    "VERSION",
    "State",
    "change_next_id",
    "create",
    "demand_own_tables",
    "demand_readable",
    "has_generation",
    "has_tables",
    "load_frames_hash",
    "load_generation",
    "load_state",
    "prepare",
    "save_state",
    "upgrade",
]

VERSION = 2
"""The version of these tables."""

FOREVER = 2**63 - 1
"""Where a live version ends: no generation reaches it."""

_FIRST_ID = 1

_TABLES = (
    """
    CREATE TABLE memory_state (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        version INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        next_id INTEGER NOT NULL,
        frame_count INTEGER NOT NULL,
        frames_hash BLOB NOT NULL,
        index_hash BLOB NOT NULL
    )
    """,
    "CREATE TABLE memory_contents (content_id INTEGER PRIMARY KEY, content NOT NULL)",
    f"""
    CREATE TABLE memory_versions (
        version_id INTEGER PRIMARY KEY,
        frame_id INTEGER NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL DEFAULT {FOREVER},
        created_ns INTEGER NOT NULL,
        fields_hash BLOB NOT NULL,
        is_text INTEGER NOT NULL,
        content_id INTEGER NOT NULL,
        title,
        uri,
        metadata TEXT NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX memory_by_frame ON memory_versions (frame_id, until, since)",
    """
    CREATE VIRTUAL TABLE memory_index USING fts5(
        title, body, content='', tokenize='porter unicode61 remove_diacritics 2'
    )
    """,
)

# What version 2 has beside the tables of version 1.
_HISTORY_TABLES = (
    f"CREATE INDEX memory_ended ON memory_versions (until) WHERE until < {FOREVER}",
    "CREATE TABLE memory_generations (generation INTEGER PRIMARY KEY, made_ns INTEGER NOT NULL)",
    """
    CREATE TABLE memory_identity (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        memory_id BLOB NOT NULL,
        hash_key BLOB NOT NULL,
        parent_id BLOB,
        parent_path TEXT,
        forked_at INTEGER,
        forked_ns INTEGER
    )
    """,
    """
    CREATE TABLE memory_forks (
        fork_id BLOB PRIMARY KEY,
        path TEXT NOT NULL,
        forked_at INTEGER NOT NULL,
        forked_ns INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE memory_erasures (
        frame_id INTEGER NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL,
        keyed_hash BLOB NOT NULL,
        erased_ns INTEGER NOT NULL
    )
    """,
)

# Made when they are first needed.
VECTOR_TABLES = (
    "CREATE TABLE IF NOT EXISTS memory_vectors (version_id INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
    """
    CREATE TABLE IF NOT EXISTS memory_embedder (
        id INTEGER PRIMARY KEY CHECK (id = 1), name TEXT NOT NULL, dimension INTEGER NOT NULL
    )
    """,
)
"""The vectors of the versions, and the model that they are of."""

ANCESTORS_TABLE = "CREATE TABLE IF NOT EXISTS memory_ancestors (memory_id BLOB PRIMARY KEY, forked_at INTEGER NOT NULL)"
"""Of a fork whose parent is a fork: those before the parent, and up to which generation they have all in common."""

PRUNED_TABLE = "CREATE TABLE IF NOT EXISTS memory_pruned (generation INTEGER PRIMARY KEY, made_ns INTEGER NOT NULL)"
"""When each gap that pruning left begins."""

DUPLICATES_INDEX = (
    f"CREATE INDEX IF NOT EXISTS memory_by_fields ON memory_versions (fields_hash) WHERE until = {FOREVER}"
)
"""Where live frames with equal fields are looked up."""

# Version 1 kept no times of generations: what was put then says when.
_TIMES_OF_OLD_GENERATIONS = """
    WITH RECURSIVE counted (generation) AS (
        SELECT 0 UNION ALL SELECT generation + 1 FROM counted
        WHERE generation < (SELECT generation FROM memory_state)
    )
    INSERT INTO memory_generations
    SELECT counted.generation, max(coalesce(max(created_ns), 0)) OVER (ORDER BY counted.generation)
    FROM counted LEFT JOIN memory_versions ON since = counted.generation
    GROUP BY counted.generation
"""


@attrs.frozen(kw_only=True)
class State:
    """What the memory holds in sum at one generation."""

    generation: int = 0
    next_id: int = _FIRST_ID
    frame_count: int = 0
    frames_hash: int = state_hash.EMPTY
    index_hash: int = state_hash.EMPTY


def prepare(connection: apsw.Connection, path: str) -> None:
    """
    Make the tables where there are none, or bring those of an older version up to date.

    Raises:
        UnsupportedVersionError: A newer replaykit made them; they are left as they are.
        DamagedError: They say no version.
    """
    if not has_tables(connection):
        create(connection)
    if demand_readable(connection, path) < VERSION:
        upgrade(connection)


@functools.cache
def _own_tables() -> dict[str, str]:
    """Return how each of our tables and indexes is defined, by name, those that FTS5 makes among them."""
    import apsw

    connection = apsw.Connection(":memory:")
    for statement in (*_TABLES, *_HISTORY_TABLES, *VECTOR_TABLES, ANCESTORS_TABLE, PRUNED_TABLE, DUPLICATES_INDEX):
        connection.execute(statement)
    return {name: _spelt(sql) for name, sql in connection.execute("SELECT name, sql FROM sqlite_schema")}


def _spelt(sql: object) -> str:
    # How a definition is broken into lines does not matter.
    return " ".join(str(sql).split())


def demand_readable(connection: apsw.Connection, path: str) -> int:
    """
    Return the version of the tables, all of which are defined as here.

    A hostile file could have views, triggers, computed columns or indexes in
    their place.

    Raises:
        UnsupportedVersionError: A newer replaykit made them.
        DamagedError: They say no version, or something is not defined as here.
    """
    _demand_own(connection, path, "memory_state")
    found = connection.execute("SELECT version FROM memory_state").get
    if type(found) is not int or found < 1:
        raise DamagedError(path, 0, "the memory's state is missing")
    if found > VERSION:
        raise UnsupportedVersionError(path, found, VERSION)
    demand_own_tables(connection, path)
    return found


def demand_own_tables(connection: apsw.Connection, path: str) -> None:
    """
    Return if all tables are defined as here, whatever is in them.

    Raises:
        DamagedError: One is not.
    """
    _demand_own(connection, path, "memory%")


def _demand_own(connection: apsw.Connection, path: str, tables: str) -> None:
    own = _own_tables()
    sql = "SELECT name, sql FROM sqlite_schema WHERE tbl_name LIKE ?1 OR name LIKE ?1"
    for name, definition in connection.execute(sql, (tables,)):
        if own.get(name) != _spelt(definition):
            raise DamagedError(path, 0, f"{str(name)[:80]} is not defined as replaykit defines its tables")


def has_tables(connection: apsw.Connection) -> bool:
    """Return whether there is a memory of any version."""
    return bool(connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'memory_state'").get)


def create(connection: apsw.Connection) -> None:
    """Make the tables of an empty memory, unless another process has just made them."""
    with _transaction(connection):
        if has_tables(connection):
            return
        for statement in (*_TABLES, *_HISTORY_TABLES):
            connection.execute(statement)
        empty = state_hash.to_bytes(state_hash.EMPTY)
        connection.execute("INSERT INTO memory_state VALUES (1, ?, 0, ?, 0, ?, ?)", (VERSION, _FIRST_ID, empty, empty))
        connection.execute("INSERT INTO memory_generations VALUES (0, 0)")
        _give_identity(connection)


def upgrade(connection: apsw.Connection) -> None:
    """Bring the tables of an older version up to date, unless another process has just done it."""
    with _transaction(connection):
        if connection.execute("SELECT version FROM memory_state").get >= VERSION:
            return
        _demand_few_generations(connection)
        for statement in (*_HISTORY_TABLES, _TIMES_OF_OLD_GENERATIONS):
            connection.execute(statement)
        _give_identity(connection)
        connection.execute("UPDATE memory_state SET version = ?", (VERSION,))


def _demand_few_generations(connection: apsw.Connection) -> None:
    # A row is made for each: a number that no writes led to would fill the disk.
    versions = connection.execute("SELECT count(*) FROM memory_versions").get
    if load_generation(connection) > 2 * versions:
        raise demands.damage("the number of its generations")


def _give_identity(connection: apsw.Connection) -> None:
    connection.execute(
        "INSERT INTO memory_identity (id, memory_id, hash_key) VALUES (1, ?, ?)", (os.urandom(16), os.urandom(32))
    )


@contextmanager
def _transaction(connection: apsw.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def load_generation(connection: apsw.Connection) -> int:
    """Return the present generation."""
    return demands.whole(connection.execute("SELECT generation FROM memory_state").get, "the number of its generation")


def has_generation(connection: apsw.Connection, generation: int) -> bool:
    """Return whether *generation* can be gone back to: it was made and not pruned."""
    return bool(connection.execute("SELECT 1 FROM memory_generations WHERE generation = ?", (generation,)).get)


def load_state(connection: apsw.Connection, *, schema: str = "main") -> State:
    """
    Return the present state of the memory in *schema*.

    Raises:
        DamagedError: It makes no sense.
    """
    row = connection.execute(
        f"SELECT generation, next_id, frame_count, frames_hash, index_hash FROM {schema}.memory_state"  # noqa: S608
    ).get
    generation, next_id, frame_count, frames_hash, index_hash = demands.columns(row, 5, "its state")
    return State(
        generation=demands.whole(generation, "the number of its generation"),
        next_id=demands.whole(next_id, "the id of its next frame", least=_FIRST_ID),
        frame_count=demands.whole(frame_count, "the number of its frames"),
        frames_hash=_hash(frames_hash),
        index_hash=_hash(index_hash),
    )


def load_frames_hash(connection: apsw.Connection) -> int:
    """Return the sum over the present frames."""
    return _hash(connection.execute("SELECT frames_hash FROM memory_state").get)


def _hash(stored: object) -> int:
    return state_hash.from_bytes(demands.blob(stored, "a hash of its state", size=state_hash.VECTOR_BYTES))


def change_next_id(connection: apsw.Connection, frame_ids: Iterable[int]) -> None:
    """Give the next frame the lowest of *frame_ids* that none has had yet; part of the caller's transaction."""
    given = load_state(connection).next_id
    lowest = min((frame_id for frame_id in frame_ids if frame_id >= given), default=None)
    if lowest is not None:
        connection.execute("UPDATE memory_state SET next_id = ?", (lowest,))


def save_state(connection: apsw.Connection, state: State, *, made_ns: int) -> None:
    """
    Store the sums of a new generation, made at *made_ns*; part of the caller's transaction.

    Where the clock went back the generation counts as made when the one
    before was: times ascend.
    """
    newest = connection.execute("SELECT made_ns FROM memory_generations ORDER BY generation DESC LIMIT 1").get or 0
    demands.whole(newest, "the time of its generation", below=2**63)
    connection.execute("INSERT INTO memory_generations VALUES (?, ?)", (state.generation, max(newest, made_ns)))
    connection.execute(
        "UPDATE memory_state SET generation = ?, next_id = ?, frame_count = ?, frames_hash = ?, index_hash = ?",
        (
            state.generation,
            state.next_id,
            state.frame_count,
            state_hash.to_bytes(state.frames_hash),
            state_hash.to_bytes(state.index_hash),
        ),
    )
