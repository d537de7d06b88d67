"""A memory file made by an attacker: its views, triggers, virtual tables and types do nothing but fail in our words."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tracemalloc
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hostile.forging import at_most_seconds

import replaykit
from replaykit.errors import ReplaykitError
from replaykit.storage.recovering import recover_into
from replaykit.storage.sqlite_store import SqliteStore
from replaykit.testing.contracts import make_part

SESSION = UUID(int=1)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A memory's file with one session, without -wal."""
    path = tmp_path / "host.mv"
    store = SqliteStore(path)
    store.publish(make_part(SESSION, range(4)))
    store.close()
    return path


def doctored(path: Path, *statements: str, writable_schema: bool = False) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        if writable_schema:
            connection.execute("PRAGMA writable_schema=ON")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def read_everything(path: Path, tmp_path: Path) -> None:
    """Every way to read it: only our errors, in bounded time and memory, and the file stays."""
    before = path.read_bytes()
    tracemalloc.start()
    try:
        with at_most_seconds(60):
            for recovery in ("prefix", "salvage", "strict"):
                with contextlib.suppress(ReplaykitError), replaykit.load(path, recovery=recovery) as recording:
                    recording.verify()
                    for summary in recording.list_sessions():
                        with contextlib.suppress(ReplaykitError):
                            list(recording.get_session(summary).actions)
            with contextlib.suppress(ReplaykitError):
                recover_into(path, tmp_path / "new.rpk")
            (tmp_path / "new.rpk").unlink(missing_ok=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20
    assert path.read_bytes() == before
    with contextlib.suppress(ReplaykitError):
        store = SqliteStore(path)
        store.cards()
        store.close()


COLUMNS = {
    "replaykit_part": ("session", "number", "body"),
    "replaykit_session": ("session", "position", "card"),
    "replaykit_meta": ("key", "value"),
}
VALUES = {
    "null": "NULL",
    "an integer": "7",
    "a large integer": "9223372036854775807",
    "a float": "1.5",
    "a text": "'text'",
    "bytes": "x'00ff'",
    "zeros": "zeroblob(100000)",
    "nothing": "x''",
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_wrong_type_in_any_column_is_a_typed_error(value: str, host: Path, tmp_path: Path) -> None:
    """SQLite holds any type in any column."""
    data = host.read_bytes()
    for table, columns in COLUMNS.items():
        for column in columns:
            host.write_bytes(data)
            doctored(host, f"UPDATE OR IGNORE {table} SET {column} = {value}")
            read_everything(host, tmp_path)


SCHEMAS = {
    "a view in place of the parts": (
        "ALTER TABLE replaykit_part RENAME TO hidden",
        "CREATE VIEW replaykit_part AS SELECT rowid, session, number, zeroblob(500000000) AS body FROM hidden",
    ),
    "a view that never ends": (
        "DROP TABLE replaykit_session",
        "CREATE VIEW replaykit_session AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n)"
        " SELECT x AS session, x AS position, x AS card FROM n",
    ),
    "a view of the settings": (
        "DROP TABLE replaykit_meta",
        "CREATE VIEW replaykit_meta AS SELECT 'sessions_schema' AS key, 1 AS value",
    ),
    "a column that is made when it is read": (
        "DROP TABLE replaykit_part",
        "CREATE TABLE replaykit_part(session BLOB, number INTEGER, body BLOB AS (zeroblob(900000000)))",
        f"INSERT INTO replaykit_part(session, number) VALUES (x'{SESSION.hex}', 0)",
    ),
    "a card that is made when it is read": (
        "DROP TABLE replaykit_session",
        "CREATE TABLE replaykit_session(session BLOB, position INTEGER, card BLOB AS (zeroblob(900000000)))",
        f"INSERT INTO replaykit_session(session, position) VALUES (x'{SESSION.hex}', 0)",
    ),
    "triggers": (
        "CREATE TABLE marks(x)",
        "CREATE TRIGGER t1 AFTER INSERT ON replaykit_part BEGIN INSERT INTO marks VALUES (1); END",
        "CREATE TRIGGER t2 BEFORE DELETE ON replaykit_session BEGIN INSERT INTO marks VALUES (2); END",
    ),
    "a table without row ids": (
        "ALTER TABLE replaykit_part RENAME TO hidden",
        "CREATE TABLE replaykit_part(session, number, body, PRIMARY KEY(session, number)) WITHOUT ROWID",
        "INSERT INTO replaykit_part SELECT session, number, body FROM hidden",
    ),
    "a virtual table": (
        "DROP TABLE replaykit_session",
        "CREATE VIRTUAL TABLE replaykit_session USING fts5(session, position, card)",
    ),
    "no tables": ("DROP TABLE replaykit_part", "DROP TABLE replaykit_session"),
    "other columns": (
        "DROP TABLE replaykit_part",
        "CREATE TABLE replaykit_part(x)",
        "INSERT INTO replaykit_part VALUES (1)",
    ),
    "thousands of sessions of nothing": (
        "INSERT INTO replaykit_session WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n WHERE x < 5000)"
        " SELECT randomblob(16), x, (SELECT card FROM replaykit_session) FROM n",
    ),
}


@pytest.mark.parametrize("statements", SCHEMAS.values(), ids=SCHEMAS)
def test_a_hostile_schema_is_not_executed(statements: tuple[str, ...], host: Path, tmp_path: Path) -> None:
    """Our tables must be tables, of stored columns; nothing else of the schema runs."""
    doctored(host, *statements)
    read_everything(host, tmp_path)


def test_no_trigger_runs_when_we_write(host: Path) -> None:
    """Not on publishing, deleting or erasing."""
    doctored(
        host,
        "CREATE TABLE marks(x)",
        "CREATE TRIGGER t1 AFTER INSERT ON replaykit_part BEGIN INSERT INTO marks VALUES (1); END",
        "CREATE TRIGGER t2 AFTER DELETE ON replaykit_session BEGIN INSERT INTO marks VALUES (2); END",
    )
    store = SqliteStore(host)
    store.publish(make_part(UUID(int=2), [0]))
    store.delete(SESSION)
    store.close()
    with contextlib.closing(sqlite3.connect(host)) as connection:
        assert connection.execute("SELECT count(*) FROM marks").fetchone() == (0,)


def test_a_schema_that_is_no_sql_is_a_typed_error(host: Path, tmp_path: Path) -> None:
    """Also one that was written past SQLite's own checks."""
    data = host.read_bytes()
    for sql in ("CREATE TABLE replaykit_part(session, number, body", "DROP TABLE x", "", "CREATE TABLE other(a)"):
        host.write_bytes(data)
        with contextlib.suppress(sqlite3.Error):
            doctored(
                host, f"UPDATE sqlite_master SET sql = '{sql}' WHERE name = 'replaykit_part'", writable_schema=True
            )
        read_everything(host, tmp_path)


def test_a_database_cut_anywhere_is_a_typed_error_or_less(host: Path, tmp_path: Path) -> None:
    """At page borders and between them."""
    data = host.read_bytes()
    whole = contents(host)
    cut_file = tmp_path / "cut.mv"
    for cut in range(0, len(data), 1009):
        cut_file.write_bytes(data[:cut])
        with contextlib.suppress(ReplaykitError):
            assert contents(cut_file).items() <= whole.items()
        assert cut_file.read_bytes() == data[:cut]
        for extra in tmp_path.glob("cut.mv-*"):
            extra.unlink()
    shutil.rmtree(tmp_path / "none", ignore_errors=True)


def contents(path: Path) -> dict[UUID, Any]:
    store = SqliteStore(path, read_only=True)
    try:
        return {card.session_id: list(store.read(card.session_id).actions()) for card in store.cards()}
    finally:
        store.close()
