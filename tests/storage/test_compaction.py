"""Compaction and erasure: all at once or not at all, proved before the old file goes."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest

import replaykit
from replaykit.errors import DamagedError, LockedError, StorageError
from replaykit.format.entries import Gap
from replaykit.format.segment import ACTS, BLOB, TOMB
from replaykit.model import Compaction
from replaykit.storage import compaction
from replaykit.storage.directory_store import DirectoryStore
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.storage.sqlite_store import SqliteStore
from replaykit.storage.stored_session import demand_roots
from replaykit.testing.contracts import make_part

NEEDLE = "a-needle-in-a-haystack"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.rpk"


@pytest.fixture
def store(path: Path) -> Iterator[FileStore]:
    store = FileStore(path)
    yield store
    store.close()


def blocks(store: FileStore, kind: int) -> list[Any]:
    return [item for item in store.segment.scan(12, store.size()) if getattr(item, "kind", None) == kind]


def varied(number: int) -> str:
    return f"{number} " * 20


def fill(store: Any, *, sessions: int = 4, parts: int = 5, per_part: int = 40) -> list[UUID]:
    """Publish sessions whose parts interleave."""
    ids = [uuid4() for _ in range(sessions)]
    for number in range(parts):
        for session_id in ids:
            sequences = range(number * per_part, (number + 1) * per_part)
            last = number == parts - 1
            store.publish(
                make_part(session_id, sequences, number=number, state="sealed" if last else None, text=varied(number))
            )
    return ids


def test_the_root_of_each_session_stays(store: FileStore) -> None:
    """However blocks are cut, the root is made of the same entries in the same order."""
    ids = fill(store)
    before = [demand_roots(store.read(session_id).pieces) for session_id in ids]
    blocks_before = len(blocks(store, ACTS))

    result = store.compact()

    assert None not in before
    assert before == [demand_roots(store.read(session_id).pieces) for session_id in ids]
    assert len(blocks(store, ACTS)) < blocks_before
    assert (result.sessions, result.bytes_after) == (len(ids), store.size())
    assert result.bytes_after < result.bytes_before


def test_calls_that_outlived_their_part_keep_the_root(store: FileStore) -> None:
    """A late call and a repeated one stand in the order in which they were published."""
    session_id = uuid4()
    store.publish(make_part(session_id, [0, 1, 5], state=None))
    store.publish(make_part(session_id, [2, 5, 9], number=1, state=None, text="again"))
    store.publish(make_part(session_id, [3], number=2))
    root, actions = demand_roots(store.read(session_id).pieces), list(store.read(session_id).actions())

    store.compact()

    assert root == demand_roots(store.read(session_id).pieces)
    assert actions == list(store.read(session_id).actions())


def test_equal_large_values_are_kept_once_per_session(store: FileStore) -> None:
    """Each part has its own copy while it is live; compacting joins the parts."""
    session_id = uuid4()
    for number in range(3):
        state = "sealed" if number == 2 else None
        store.publish(
            make_part(session_id, [2 * number, 2 * number + 1], number=number, state=state, text="y" * 20_000)
        )
    assert len(blocks(store, BLOB)) == 3

    store.compact()

    assert len(blocks(store, BLOB)) == 1
    assert {action["out"][0]["text"] for action in store.read(session_id).actions()} == {"y" * 20_000}


def test_the_new_file_names_the_old_one_and_what_it_dropped(store: FileStore) -> None:
    kept, dropped = fill(store, sessions=2)
    old = store.segment.head
    store.delete(dropped)

    store.compact()

    origin = store.segment.head.origin
    assert origin is not None
    assert (origin.file_id, origin.head, list(origin.dropped)) == (old.file_id, old.digest, [dropped.bytes])
    assert blocks(store, TOMB) == []
    assert [card.session_id for card in store.cards()] == [kept]


def test_sessions_that_were_read_stay_readable(store: FileStore) -> None:
    """A reader holds the file that it opened."""
    session_id = fill(store, sessions=1)[0]
    reader = FileStore(store.location, read_only=True)
    session = reader.read(session_id)

    store.compact()

    assert len(list(session.actions())) == 200
    assert len(list(reader.read(session_id).actions())) == 200
    reader.close()


def test_a_writer_that_comes_during_a_compaction_finds_the_new_file(store: FileStore, path: Path) -> None:
    """The lock moves with the name: nobody can write into the file that is gone."""
    fill(store)
    store.compact()

    with pytest.raises(LockedError):
        FileStore(path)
    store.close()
    with_new = FileStore(path)
    assert len(with_new.cards()) == 4
    with_new.close()


def test_the_result_is_private_and_nothing_is_left_beside_it(store: FileStore, path: Path, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        fill(store)
        store.compact()
    finally:
        os.umask(old)

    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["runs.rpk"]


def test_what_a_killed_compaction_left_is_removed_by_the_next(store: FileStore, path: Path, tmp_path: Path) -> None:
    fill(store)
    leftover = tmp_path / f"runs.rpk.{uuid4().hex}.compact"
    leftover.write_bytes(b"half of a copy")
    other = tmp_path / "other.rpk.compact"
    other.write_bytes(b"not ours")

    store.compact()

    assert sorted(os.listdir(tmp_path)) == ["other.rpk.compact", "runs.rpk"]


def test_unknown_blocks_and_evidence_are_kept(store: FileStore) -> None:
    """A copy keeps what a newer release wrote, and bytes that a crash left."""
    fill(store)
    store.append_blocks([(77, b"\xa1\x61x\x18\x2a")])
    store.close()
    with open(store.location, "ab") as file:
        file.write(b"\x88\x48 torn")
    again = FileStore(store.location)

    again.compact()

    assert [block.body() for block in blocks(again, 77)] == [b"\xa1\x61x\x18\x2a"]
    assert b"torn" in Path(again.location).read_bytes()
    assert again.verify()
    again.close()


class FailingFiles(SystemFiles):
    """The real disk, on which the named operation fails when armed."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = ""
        self.append = self._append  # type: ignore[method-assign]

    def _demand(self, operation: str) -> None:
        if operation == self.failing:
            raise OSError(errno.ENOSPC, "No space left on device")

    def _append(self, handle: int, data: bytes) -> int:
        self._demand("append")
        return os.write(handle, data)

    def sync(self, handle: int) -> None:
        self._demand("sync")
        super().sync(handle)

    def rename(self, source: str, target: str) -> None:
        self._demand("rename")
        super().rename(source, target)

    def reserve(self, directory: str, size: int) -> int:
        self._demand("reserve")
        return super().reserve(directory, size)


@pytest.mark.parametrize("operation", ["reserve", "append", "sync", "rename"])
def test_a_compaction_that_fails_leaves_the_file_as_it_was(operation: str, path: Path, tmp_path: Path) -> None:
    files = FailingFiles()
    store = FileStore(path, files=files)
    ids = fill(store)
    before = path.read_bytes()

    files.failing = operation
    with pytest.raises(StorageError):
        store.compact()
    files.failing = ""

    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["runs.rpk"]
    store.publish(make_part(uuid4(), range(3)))
    assert [len(list(store.read(session_id).actions())) for session_id in ids] == [200] * 4
    assert store.verify()
    store.close()


def test_a_copy_that_differs_is_not_taken(store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof is made on the copy as it is on the disk, by the root of each session."""
    fill(store)
    before = path.read_bytes()
    true_parts = compaction.parts_of

    def lossy(session: Any) -> Iterator[Any]:
        for part in true_parts(session):
            yield attrs.evolve(part, actions=part.actions[1:])

    monkeypatch.setattr(compaction, "parts_of", lossy)
    with pytest.raises(DamagedError, match="not the same"):
        store.compact()

    assert path.read_bytes() == before


@pytest.mark.parametrize("when", ["before", "while it is copied"])
@pytest.mark.parametrize("rewrites", ["compact", "erase"])
def test_a_file_that_somebody_else_has_put_there_is_not_replaced(
    rewrites: str, when: str, store: FileStore, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that was put back under a running service stays what it is."""
    ids = fill(store)
    backup = tmp_path / "backup"
    backup.write_bytes(b"what was put back")
    if when == "before":
        backup.rename(path)
    else:
        true_parts = compaction.parts_of

        def beside(session: Any) -> Iterator[Any]:
            if backup.exists():
                backup.rename(path)
            yield from true_parts(session)

        monkeypatch.setattr(compaction, "parts_of", beside)

    with pytest.raises(StorageError, match="removed or replaced"):
        store.compact() if rewrites == "compact" else store.erase(ids[0])

    assert path.read_bytes() == b"what was put back"
    assert os.listdir(tmp_path) == ["runs.rpk"]


def test_a_damaged_file_is_not_compacted(path: Path) -> None:
    """What is damaged must be recovered first, so that nothing of it goes unseen."""
    store = FileStore(path)
    fill(store)
    store.close()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    again = FileStore(path)
    with pytest.raises(DamagedError):
        again.compact()
    assert path.read_bytes()[: len(data)] == data
    again.close()


# -- erasing ----------------------------------------------------------------------


def bytes_below(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.rglob("*") if each.is_file())


def open_file_store(folder: Path) -> Any:
    return FileStore(folder / "runs.rpk")


def open_directory(folder: Path) -> Any:
    return DirectoryStore(folder / "runs")


def open_memory_file(folder: Path) -> Any:
    return SqliteStore(folder / "notes.mv")


STORES: list[Callable[[Path], Any]] = [open_file_store, open_directory, open_memory_file]


@pytest.mark.parametrize("opened", STORES)
@pytest.mark.parametrize("was_deleted", [False, True])
def test_an_erased_session_leaves_no_byte(opened: Callable[[Path], Any], was_deleted: bool, tmp_path: Path) -> None:
    """Neither in the files nor beside them; short texts are not compressed, so that a search sees them."""
    store = opened(tmp_path)
    other, erased = uuid4(), uuid4()
    store.publish(make_part(other, [0], name="other", text="kept"))
    gap = Gap(offset=0, reason="torn record", data=NEEDLE.encode())
    store.publish(make_part(erased, [0], name=NEEDLE, text=NEEDLE, gaps=[gap], state=None))
    store.publish(make_part(erased, [1], number=1, name=NEEDLE, text=NEEDLE))
    assert NEEDLE.encode() in bytes_below(tmp_path)
    if was_deleted:
        store.delete(erased)

    store.erase(erased)

    assert NEEDLE.encode() not in bytes_below(tmp_path)
    assert [card.session_id for card in store.cards()] == [other]
    assert store.verify()
    store.close()
    assert NEEDLE.encode() not in bytes_below(tmp_path)


def test_erasing_takes_the_evidence_of_crashes_with_it(path: Path, tmp_path: Path) -> None:
    """Torn bytes may be of the session that has to go."""
    store = FileStore(path)
    erased = fill(store, sessions=1)[0]
    store.close()
    with open(path, "ab") as file:
        file.write(b"\x88\x48" + NEEDLE.encode() * 60_000)
    again = FileStore(path)
    assert len(os.listdir(tmp_path)) == 2

    again.erase(erased)

    assert NEEDLE.encode() not in bytes_below(tmp_path)
    again.close()


def test_a_session_in_the_file_of_a_living_process_is_not_erased(tmp_path: Path) -> None:
    """The other process's lock holds; the error names the file."""
    mine, theirs = DirectoryStore(tmp_path), DirectoryStore(tmp_path)
    session_id = uuid4()
    theirs.publish(make_part(session_id, [0], state=None))

    with pytest.raises(LockedError):
        mine.erase(session_id)
    theirs.close()
    mine.erase(session_id)

    assert mine.cards() == []
    mine.close()


def test_a_directory_compacts_what_no_other_process_writes(tmp_path: Path) -> None:
    mine, theirs = DirectoryStore(tmp_path), DirectoryStore(tmp_path)
    fill(mine, sessions=1)
    fill(theirs, sessions=1)

    result = mine.compact()

    assert isinstance(result, Compaction)
    assert (result.sessions, result.skipped) == (1, 1)
    assert len(mine.cards()) == len(theirs.cards()) == 2
    mine.close()
    theirs.close()


def test_a_deletion_still_hides_what_another_file_holds(tmp_path: Path) -> None:
    """In a directory a compacted file carries its tombstones on."""
    theirs = DirectoryStore(tmp_path)
    session_id = fill(theirs, sessions=1)[0]
    mine = DirectoryStore(tmp_path)
    mine.delete(session_id)

    mine.compact()

    assert list(mine.cards()) == list(theirs.cards()) == []
    mine.close()
    theirs.close()


def test_recording_goes_on_while_its_store_is_compacted(tmp_path: Path) -> None:
    """A session that is open keeps its log, and ends as if nothing had happened."""

    @replaykit.records("find")
    def find(query: str) -> list[str]:
        return [query]

    with replaykit.Recorder(tmp_path / "runs.rpk") as recorder:
        with recorder.session("before"):
            find("one")
        with recorder.session("during") as session:
            find("two")
            recorder.store.compact()
            find("three")
        assert [action.arguments["query"] for action in session.result.actions] == ["two", "three"]
        assert [summary.name for summary in recorder.list_sessions()] == ["before", "during"]


class SteppingClock:
    """Time that a test sets."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@pytest.mark.parametrize("parts", [1, 3])
def test_compacting_a_file_changes_nothing_between_it_and_others(parts: int, tmp_path: Path) -> None:
    """What a deletion hides is decided by times that stay: neither it nor what it hides moves."""
    clock = SteppingClock(1000)
    first, second = DirectoryStore(tmp_path, clock=clock), DirectoryStore(tmp_path, clock=clock)
    hidden, anew = uuid4(), uuid4()
    for session_id in (hidden, anew):
        for number in range(parts):
            state = "sealed" if number == parts - 1 else None
            first.publish(make_part(session_id, [number], number=number, state=state))
    clock.now = 1000 + 2 * parts
    second.delete(hidden)
    second.delete(anew)
    clock.now += 10
    third = DirectoryStore(tmp_path, clock=clock)
    third.publish(make_part(anew, [7]))

    clock.now = 5000
    for store in (first, second, third):
        store.compact()

    assert [card.session_id for card in first.cards()] == [anew]
    assert [action["i"] for action in second.read(anew).actions()] == [7]
    for store in (first, second, third):
        store.close()


def test_a_reader_that_was_there_before_goes_on_with_the_new_file(store: FileStore, path: Path) -> None:
    """Else it would never see what ends after the compaction, and lose what it saw while that was open."""
    (before,) = fill(store, sessions=1)
    with contextlib.closing(FileStore(path, read_only=True)) as reader:
        held = reader.read(before)
        store.compact()
        (later,) = fill(store, sessions=1)
        assert [card.session_id for card in reader.cards()] == [before, later]
        assert len(list(reader.read(later).actions())) == len(list(held.actions())) == 200
        os.remove(path)
        assert [card.session_id for card in reader.cards()] == [before, later]
