"""
The memory's tables: made in a fresh file, checked in an existing one.

A frame is kept as versions.  A version is valid from the generation ``since``
up to, but not with, the generation ``until``; a live one has `FOREVER` there.
An update or delete sets ``until`` and changes nothing else, so the memory can
be read as of any generation.  Contents have a table of their own, which ending
a version does not rewrite and which versions with equal content share.

Texts are TEXT, but BLOB (UTF-8 with surrogates passed through) where they are
no valid Unicode.  The full-text index holds live frames only and no content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replaykit.errors import DamagedError, NotAStoreError, UnsupportedVersionError
from replaykit.memory import state_hash

if TYPE_CHECKING:
    import apsw

__all__ = ["FOREVER", "VERSION", "State", "load_generation", "load_state", "prepare", "save_state"]

VERSION = 1
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


@attrs.frozen(kw_only=True)
class State:
    """What the memory holds in sum at one generation."""

    generation: int = 0
    next_id: int = _FIRST_ID
    frame_count: int = 0
    frames_hash: int = state_hash.EMPTY
    index_hash: int = state_hash.EMPTY


def prepare(connection: apsw.Connection, path: str, *, read_only: bool) -> None:
    """
    Make the tables where there are none, or check those there are.

    Raises:
        UnsupportedVersionError: A newer replaykit made them; they are left as they are.
        NotAStoreError: There are none, and *read_only* forbids to make them.
    """
    if not _has_tables(connection):
        if read_only:
            raise NotAStoreError(path, "it holds no memory")
        _create(connection)
    found = connection.execute("SELECT version FROM memory_state").get
    if not isinstance(found, int):
        raise DamagedError(path, 0, "the memory's state is missing")
    if found > VERSION:
        raise UnsupportedVersionError(path, found, VERSION)


def _has_tables(connection: apsw.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'memory_state'").get)


def _create(connection: apsw.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have made them while this one waited for its turn.
        if not _has_tables(connection):
            for statement in _TABLES:
                connection.execute(statement)
            empty = state_hash.to_bytes(state_hash.EMPTY)
            connection.execute(
                "INSERT INTO memory_state VALUES (1, ?, 0, ?, 0, ?, ?)", (VERSION, _FIRST_ID, empty, empty)
            )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def load_generation(connection: apsw.Connection) -> int:
    """Return the present generation."""
    return int(connection.execute("SELECT generation FROM memory_state").get)


def load_state(connection: apsw.Connection) -> State:
    """Return the present state."""
    generation, next_id, frame_count, frames_hash, index_hash = connection.execute(
        "SELECT generation, next_id, frame_count, frames_hash, index_hash FROM memory_state"
    ).get
    return State(
        generation=generation,
        next_id=next_id,
        frame_count=frame_count,
        frames_hash=state_hash.from_bytes(frames_hash),
        index_hash=state_hash.from_bytes(index_hash),
    )


def save_state(connection: apsw.Connection, state: State) -> None:
    """Replace the stored state; part of the caller's transaction."""
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
