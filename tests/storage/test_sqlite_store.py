"""Sessions inside a memory's own file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import apsw
import pytest

from replaykit.errors import (
    ClosedError,
    DamagedError,
    LockedError,
    NotAStoreError,
    ReadOnlyError,
    StorageError,
    UnsupportedVersionError,
    UsageError,
)
from replaykit.format.segment import read_head
from replaykit.storage.database import open_database
from replaykit.storage.files import SystemFiles
from replaykit.storage.sqlite_store import SqliteStore
from replaykit.testing.contracts import make_action, make_part
from replaykit.testing.files import TracedFiles


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.mv"


def test_each_part_is_a_complete_segment(path: Path) -> None:
    """A row alone can be read by whoever reads segments."""
    store = SqliteStore(path)
    session_id = uuid4()
    for number in range(3):
        store.publish(make_part(session_id, [number], number=number, state=None))
    store.close()
    connection = open_database(str(path))
    rows: Any = connection.execute("SELECT number, body FROM replaykit_part ORDER BY number").fetchall()
    connection.close()
    assert [number for number, _ in rows] == [0, 1, 2]
    assert len({read_head(body).file_id for _, body in rows}) == 3


def test_two_stores_share_a_file(path: Path) -> None:
    """SQLite orders the writers; both list all."""
    first, second = SqliteStore(path), SqliteStore(path)
    ids = [uuid4() for _ in range(6)]
    for number, session_id in enumerate(ids):
        (first if number % 2 else second).publish(make_part(session_id, [0]))
    assert ids == [card.session_id for card in first.cards()] == [card.session_id for card in second.cards()]
    first.close()
    second.close()


def test_a_part_that_fails_leaves_nothing(path: Path) -> None:
    """The transaction is rolled back and the next one works."""
    store = SqliteStore(path)
    part = make_part(uuid4(), [0])
    with pytest.raises(UsageError):
        store.publish(make_part(uuid4(), [0], checkpoints=[{"c": 1, "x": object()}]))
    assert list(store.cards()) == []
    store.publish(part)
    assert len(store.cards()) == 1
    store.close()


def test_every_damaged_byte_of_a_part_is_noticed(path: Path) -> None:
    """Readers verify: right data or a typed error, and a check says no."""
    store = SqliteStore(path)
    session_id = uuid4()
    store.publish(make_part(session_id, range(2)))
    expected = list(store.read(session_id).actions())
    connection = open_database(str(path))
    body: Any = connection.execute("SELECT body FROM replaykit_part").get
    for position in range(len(body)):
        damaged = body[:position] + bytes((body[position] ^ 1 << position % 8,)) + body[position + 1 :]
        connection.execute("UPDATE replaykit_part SET body = ?", (damaged,))
        assert not store.verify(), f"a flip at {position} went unnoticed"
        try:
            assert expected == list(store.read(session_id).actions())
        except StorageError:
            continue
    connection.close()
    store.close()


def test_damaged_rows_are_typed_errors(path: Path) -> None:
    """Cards that are no cards, and sessions without parts."""
    store = SqliteStore(path)
    session_id = uuid4()
    store.publish(make_part(session_id, [0]))
    connection = open_database(str(path))
    connection.execute("UPDATE replaykit_session SET card = 'text'")
    with pytest.raises(DamagedError):
        store.cards()
    connection.execute("UPDATE replaykit_session SET card = x'a0'")
    with pytest.raises(DamagedError):
        store.cards()
    connection.execute("DELETE FROM replaykit_part")
    with pytest.raises(DamagedError):
        store.read(session_id)
    connection.close()
    store.close()


def test_a_newer_schema_is_refused(path: Path) -> None:
    """And said so."""
    SqliteStore(path).close()
    connection = open_database(str(path))
    connection.execute("UPDATE replaykit_meta SET value = 2")
    connection.close()
    with pytest.raises(UnsupportedVersionError):
        SqliteStore(path)


def test_a_reader_of_a_memory_without_sessions_lists_none(path: Path) -> None:
    """It makes no tables."""
    open_database(str(path)).close()
    connection = open_database(str(path))
    connection.execute("CREATE TABLE memory_x(a)")
    connection.close()
    reader = SqliteStore(path, read_only=True)
    assert list(reader.cards()) == []
    assert reader.verify()
    with pytest.raises(ReadOnlyError):
        reader.publish(make_part(uuid4(), [0]))
    reader.close()


def test_a_file_that_is_something_else_is_left(path: Path) -> None:
    """Byte for byte."""
    path.write_text("a diary")
    with pytest.raises(NotAStoreError):
        SqliteStore(path)
    assert path.read_text() == "a diary"


def test_a_forked_child_uses_a_connection_of_its_own(path: Path) -> None:
    """Both go on writing."""
    store = SqliteStore(path)
    mine, childs = uuid4(), uuid4()
    store.publish(make_part(mine, [0]))
    child = os.fork()
    if child == 0:
        store.publish(make_part(childs, [0]))
        os._exit(0 if len(store.cards()) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert [mine, childs] == [card.session_id for card in store.cards()]
    assert store.verify()
    store.close()


def test_a_busy_file_is_locked(path: Path) -> None:
    """After waiting, with a typed error; nothing is half written."""
    store = SqliteStore(path)
    store._connected().set_busy_timeout(10)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LockedError):
        store.publish(make_part(uuid4(), [0]))
    other.execute("ROLLBACK")
    store.publish(make_part(uuid4(), [0]))
    other.close()
    store.close()


def test_files_are_private(path: Path) -> None:
    """The database, its journal and the live logs, under umask 0."""
    before = os.umask(0)
    try:
        store = SqliteStore(path)
        store.publish(make_part(uuid4(), [0]))
        store.create_log(uuid4())
    finally:
        os.umask(before)
    assert {0o600} == {os.stat(each).st_mode & 0o777 for each in path.parent.iterdir()}
    store.close()


def test_use_after_close_is_an_error() -> None:
    """In RAM as well."""
    store = SqliteStore(":memory:")
    store.close()
    part = make_part(uuid4(), [0])
    for ask in (store.cards, lambda: store.create_log(uuid4()), lambda: store.publish(part)):
        with pytest.raises(ClosedError):
            ask()


def test_large_parts_are_read_in_pieces(path: Path) -> None:
    """An action is found without the rest of its part."""
    store = SqliteStore(path)
    session_id = uuid4()
    part = make_part(session_id, range(5000))
    store.publish(part)
    assert make_action(4999) == store.read(session_id).action(4999)
    store.close()


def test_reading_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    """SQLite's -wal and -shm files are gone when the reader is, and the file has not changed by a byte."""
    path = tmp_path / "notes.mv"
    SqliteStore(path).close()
    before = path.read_bytes()

    reader = SqliteStore(path, read_only=True)
    assert reader.cards() == []
    reader.close()

    assert [item.name for item in tmp_path.iterdir()] == ["notes.mv"]
    assert path.read_bytes() == before


def test_a_file_that_nobody_can_write_is_read_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a read-only disk there is no place for files beside it."""
    path = tmp_path / "notes.mv"
    SqliteStore(path).close()
    monkeypatch.setattr(os, "access", lambda *_: False)

    reader = SqliteStore(path, read_only=True)

    assert reader.cards() == []
    assert [item.name for item in tmp_path.iterdir()] == ["notes.mv"]
    reader.close()


def test_a_deleted_session_stays_deleted_after_a_power_loss(path: Path) -> None:
    """That its live log is gone is on the device before the deletion is; else the log would be recovered."""
    files = TracedFiles(SystemFiles())
    store = SqliteStore(path, files=files)
    log = store.create_log(uuid4())
    store.publish(make_part(log.session_id))
    log.remove()
    store.delete(log.session_id)
    store.close()
    assert [step.what for step in files.steps] == ["create", "remove", "sync_directory"]
