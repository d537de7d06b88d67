"""A directory: each process its own file, one listing."""

from __future__ import annotations

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from replaykit.errors import NotAStoreError, ReadOnlyError, SessionNotFoundError, StorageError
from replaykit.protocols import Store
from replaykit.storage.directory_store import DirectoryStore
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.storage.log_files import FileLog
from replaykit.storage.opening import open_store
from replaykit.storage.options import StoreOptions
from replaykit.storage.own_files import OwnFiles
from replaykit.storage.recovery import recover
from replaykit.testing.contracts import make_part


def listed(store: Store) -> list[UUID]:
    return [card.session_id for card in store.cards()]


def rpk_files(path: Path) -> list[Path]:
    return sorted(path.glob("*.rpk"))


def test_writers_side_by_side_have_files_of_their_own(tmp_path: Path) -> None:
    """And each lists what all have published, in order of publishing."""
    first, second = DirectoryStore(tmp_path), DirectoryStore(tmp_path)
    ids = []
    for number in range(6):
        ids.append(uuid4())
        (first if number % 2 else second).publish(make_part(ids[-1], range(2)))

    assert len(rpk_files(tmp_path)) == 2
    assert ids == listed(first) == listed(second)
    assert len(first.read(ids[0]).sequences) == 2
    assert first.verify()
    first.close()
    second.close()


def test_a_clock_that_is_set_back_reorders_no_file(tmp_path: Path) -> None:
    """Within one file the order of publishing holds, and a deletion always hides what was there."""
    clock = iter(range(1000, 0, -1))
    store = DirectoryStore(tmp_path, clock=lambda: next(clock))
    other = DirectoryStore(tmp_path, clock=lambda: 0)
    ids = [uuid4() for _ in range(3)]
    for session_id in ids:
        store.publish(make_part(session_id, [0]))
    assert ids == listed(other)
    other.delete(ids[1])
    assert [ids[0], ids[2]] == listed(store) == listed(other)
    store.close()
    other.close()


def test_a_forked_child_writes_a_file_of_its_own(tmp_path: Path) -> None:
    """The parent's file stays the parent's."""
    store = DirectoryStore(tmp_path)
    mine, childs = uuid4(), uuid4()
    store.publish(make_part(mine, [0]))
    child = os.fork()
    if child == 0:
        store.publish(make_part(childs, [0, 1]))
        store.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    store.publish(make_part(mine, [1], number=1))

    assert len(rpk_files(tmp_path)) == 2
    assert {mine, childs} == set(listed(store))
    assert list(store.read(mine).sequences) == [0, 1]
    assert store.verify()
    store.close()


def test_a_dead_writers_session_goes_on_in_its_file(tmp_path: Path) -> None:
    """Recovery publishes to the file that has the session's log, once nobody holds it."""
    dead, session_id = DirectoryStore(tmp_path), uuid4()
    log = dead.create_log(session_id)
    dead.publish(make_part(session_id, [0], state=None))
    log.close()
    dead.close()

    store = DirectoryStore(tmp_path)
    (found,) = store.logs()
    assert found.claim()
    store.publish(make_part(session_id, [1], number=1, state="interrupted"))
    found.remove()

    assert len(rpk_files(tmp_path)) == 1
    (card,) = store.cards()
    assert (card.state, card.action_count, card.parts) == ("interrupted", 2, 2)
    store.close()


def test_no_recovery_takes_a_log_that_is_being_made(tmp_path: Path) -> None:
    """One process starts sessions while another one recovers the same directory, again and again."""
    store, other = DirectoryStore(tmp_path), DirectoryStore(tmp_path)
    barrier, is_over = threading.Barrier(2), threading.Event()

    def recover_all() -> None:
        barrier.wait()
        while not is_over.is_set():
            recover(other)

    thread = threading.Thread(target=recover_all)
    thread.start()
    barrier.wait()
    try:
        for _ in range(500):
            log = store.create_log(uuid4())
            assert os.path.exists(log.path)
            log.remove()
    finally:
        is_over.set()
        thread.join()
    store.close()
    other.close()


def test_a_session_in_two_files_is_one_session(tmp_path: Path) -> None:
    """While the first file is still held, its session goes on in ours; later parts win."""
    holder, session_id = DirectoryStore(tmp_path), uuid4()
    holder.publish(make_part(session_id, range(4), state=None, text="first", checkpoints=[{"c": 1, "i": 0}]))
    store = DirectoryStore(tmp_path)
    store.publish(make_part(session_id, [2, 5], number=1, text="second", checkpoints=[{"c": 2, "i": 5}]))

    assert len(rpk_files(tmp_path)) == 2
    session = store.read(session_id)
    assert list(session.sequences) == [0, 1, 2, 3, 5]
    assert [action["i"] for action in session.actions()] == [0, 1, 2, 3, 5]
    assert session.action(2)["out"][0]["text"] == "second"
    (card,) = store.cards()
    found = (card.state, card.action_count, card.checkpoint_count, card.parts, card.by_kind)
    assert found == ("sealed", 5, 2, 2, {"find": 5})
    holder.close()
    store.close()


def test_deleting_what_another_process_holds(tmp_path: Path) -> None:
    """The deletion stands in our file and hides theirs, for everyone and after a restart."""
    holder, store = DirectoryStore(tmp_path), DirectoryStore(tmp_path)
    kept, deleted = uuid4(), uuid4()
    for session_id in (kept, deleted):
        holder.publish(make_part(session_id, [0]))
    store.delete(deleted)

    assert [kept] == listed(store) == listed(holder)
    with pytest.raises(SessionNotFoundError):
        holder.read(deleted)
    with pytest.raises(SessionNotFoundError):
        holder.delete(deleted)
    holder.close()
    store.close()
    reader = DirectoryStore(tmp_path, read_only=True)
    assert [kept] == listed(reader)
    with pytest.raises(ReadOnlyError):
        reader.delete(kept)
    reader.close()


def test_a_new_file_is_begun_when_one_is_large(tmp_path: Path) -> None:
    """A session that began in the old one goes on there."""
    store = DirectoryStore(tmp_path, options=StoreOptions(rotate_bytes=3000))
    early = uuid4()
    store.publish(make_part(early, [0], state=None))
    for _ in range(10):
        store.publish(make_part(uuid4(), [0]))
    files = len(rpk_files(tmp_path))
    store.publish(make_part(early, [1], number=1))

    assert files == len(rpk_files(tmp_path)) > 1
    assert len(listed(store)) == 11
    assert list(store.read(early).sequences) == [0, 1]
    store.close()


def test_files_that_no_session_goes_on_in_are_closed(tmp_path: Path) -> None:
    """Each would take memory for all of its sessions, for as long as the program runs."""
    store = DirectoryStore(tmp_path, options=StoreOptions(rotate_bytes=3000))
    ids = [uuid4() for _ in range(40)]
    long_log = store.create_log(ids[0])
    for session_id in ids[1:]:
        log = store.create_log(session_id)
        store.publish(make_part(session_id, [0]))
        log.remove()
        assert len(store._own) <= 2

    assert len(rpk_files(tmp_path)) > 5
    store.publish(make_part(ids[0], [0]))
    long_log.remove()
    assert len(store._own) == 1
    assert set(listed(store)) == set(ids)
    assert all(list(store.read(session_id).sequences) == [0] for session_id in ids)
    assert store.verify()
    store.close()


def test_long_sessions_in_many_files_hold_few_of_them_open(tmp_path: Path) -> None:
    """Each would take two descriptors: a file that is closed is opened again for what its session publishes."""
    store = DirectoryStore(tmp_path, options=StoreOptions(rotate_bytes=1))
    ids = [uuid4() for _ in range(40)]
    logs = []
    for session_id in ids:
        logs.append(store.create_log(session_id))
        store.publish(make_part(session_id, [0], state=None))
        assert len(store._own) <= 10

    for session_id, log in zip(ids, logs, strict=True):
        store.publish(make_part(session_id, [1], number=1))
        log.remove()
        assert len(store._own) <= 10
    assert len(rpk_files(tmp_path)) == 40
    assert set(listed(store)) == set(ids)
    assert all(list(store.read(session_id).sequences) == [0, 1] for session_id in ids)
    assert store.verify()
    store.close()


def test_threads_that_begin_sessions_while_files_are_closed_lose_none(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path, options=StoreOptions(rotate_bytes=2000))

    def record(_: int) -> list[UUID]:
        ids = [uuid4() for _ in range(15)]
        for session_id in ids:
            log = store.create_log(session_id)
            store.publish(make_part(session_id, [0, 1]))
            log.remove()
        return ids

    with ThreadPoolExecutor(6) as pool:
        ids = [session_id for found in pool.map(record, range(6)) for session_id in found]

    assert set(listed(store)) == set(ids)
    assert len(store._own) <= 2
    store.close()


def test_a_session_may_begin_while_past_files_are_closed(tmp_path: Path) -> None:
    """It is noted without the guard, at any moment: also while the owners of others are looked through."""
    own = OwnFiles(f"{tmp_path}/", options=StoreOptions(), files=SystemFiles(), clock=time.time_ns)
    past, present = own.begin(), own.begin()
    own.note_owner(uuid4(), past)
    begun = uuid4()

    class Live:
        def __contains__(self, session_id: object) -> bool:
            own.note_owner(begun, present)
            return False

    own.close_past(Live())
    assert (own.owner_of(begun), len(own)) == (present, 1)
    own.close()


def test_a_file_that_is_closed_while_a_session_begins_in_it_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread begins a new file just then: it does not know of the session yet."""
    store = DirectoryStore(tmp_path, options=StoreOptions(rotate_bytes=1))
    create_log, others = FileStore.create_log, [uuid4(), uuid4()]

    def interrupted(own: FileStore, session_id: UUID) -> FileLog:
        log = create_log(own, session_id)
        while others:
            store.publish(make_part(others.pop(), [0]))
        return log

    monkeypatch.setattr(FileStore, "create_log", interrupted)
    session_id = uuid4()
    log = store.create_log(session_id)
    assert not others
    store.publish(make_part(session_id, [0, 1]))
    log.remove()

    assert session_id in listed(store)
    assert len(listed(store)) == 3
    store.close()


def test_files_that_are_no_stores_are_named_and_left(tmp_path: Path) -> None:
    """A listing goes on without them."""
    (tmp_path / "notes.rpk").write_text("hello")
    (tmp_path / "empty.rpk").touch()
    (tmp_path / "readme.txt").write_text("not ours")
    store = DirectoryStore(tmp_path)
    session_id = uuid4()
    store.publish(make_part(session_id, [0]))

    assert [session_id] == listed(store)
    assert [problem.split(":")[0] for problem in store.problems()] == ["empty.rpk", "notes.rpk"]
    assert not store.verify()
    assert (tmp_path / "notes.rpk").read_text() == "hello"
    store.close()


def test_directories_are_private_and_out_of_repositories(tmp_path: Path) -> None:
    """0700 under umask 0; only the default directory gets a .gitignore."""
    before = os.umask(0)
    try:
        for name in (".replaykit", "runs"):
            store = open_store(str(tmp_path / name) + "/")
            store.publish(make_part(uuid4(), [0]))
            store.close()
    finally:
        os.umask(before)
    assert [os.stat(tmp_path / name).st_mode & 0o777 for name in (".replaykit", "runs")] == [0o700, 0o700]
    for file in (tmp_path / "runs").iterdir():
        assert os.stat(file).st_mode & 0o777 == 0o600
    assert (tmp_path / ".replaykit" / ".gitignore").read_text() == "*\n"
    assert not (tmp_path / "runs" / ".gitignore").exists()


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    """And left as it is."""
    path = tmp_path / "runs"
    path.write_text("mine")
    with pytest.raises(NotAStoreError):
        DirectoryStore(path)
    assert path.read_text() == "mine"


def test_damage_in_one_file_is_not_hidden(tmp_path: Path) -> None:
    """A listing that would silently lack sessions raises instead."""
    store = DirectoryStore(tmp_path)
    store.publish(make_part(uuid4(), range(3)))
    store.close()
    (path,) = rpk_files(tmp_path)
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError):
        FileStore(path, read_only=True).cards()
    with pytest.raises(StorageError):
        DirectoryStore(tmp_path, read_only=True).cards()


# -- a directory that is taken away --------------------------------------------------


@pytest.mark.parametrize("moved", [False, True])
def test_a_directory_that_is_taken_away_is_made_again(tmp_path: Path, moved: bool) -> None:
    """As by an operator who wants a new one: a session that goes on in the old one and a new one are both kept."""
    path = tmp_path / "runs"
    store = DirectoryStore(f"{path}/")
    before, open_still, after = uuid4(), uuid4(), uuid4()
    store.publish(make_part(before, [0]))
    log = store.create_log(open_still)
    if moved:
        path.rename(tmp_path / "runs.old")
    else:
        shutil.rmtree(path)

    store.create_log(after).remove()
    store.publish(make_part(after, [0]))
    store.publish(make_part(open_still, [0]))
    log.remove()

    assert listed(store) == [after, open_still]
    assert (os.stat(path).st_mode & 0o777, len(rpk_files(path))) == (0o700, 1)
    assert store.verify()
    store.close()
    if moved:
        assert listed(DirectoryStore(tmp_path / "runs.old", read_only=True)) == [before]


def test_a_directory_that_cannot_be_made_again_is_a_typed_error(tmp_path: Path) -> None:
    """Its parent is gone, or a file has its name: making a log and measuring say so, and where."""
    path = tmp_path / "parent" / "runs"
    path.parent.mkdir()
    store = DirectoryStore(f"{path}/", options=StoreOptions(max_bytes=1 << 30))
    store.create_log(uuid4()).remove()
    shutil.rmtree(path.parent)
    with pytest.raises(StorageError, match="runs"):
        store.create_log(uuid4())
    assert (list(store.logs()), store.total_bytes(), listed(store)) == ([], 0, [])
    store.close()

    other = DirectoryStore(tmp_path / "other", options=StoreOptions(max_bytes=1 << 30))
    (tmp_path / "other").rmdir()
    (tmp_path / "other").touch()
    for ask in (other.total_bytes, other.logs, other.cards, lambda: other.create_log(uuid4())):
        with pytest.raises(StorageError, match="other"):
            ask()
    other.close()
