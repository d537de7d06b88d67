"""How much a store may hold, when it begins a new file, and what a poisoned one does."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

import replaykit
from replaykit.errors import ReplaykitWarning, StorageError, StoreFullError
from replaykit.recording.background import Background, background_of
from replaykit.storage.directory_store import DirectoryStore
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.storage.gathering import MAX_PART_ACTIONS
from replaykit.storage.log_files import FileLog
from replaykit.storage.options import StoreOptions
from replaykit.testing.contracts import make_part
from replaykit.testing.files import FaultyFiles, MemoryFiles, TracedFiles

MINUTE_NS = 60 * 10**9


@replaykit.records("tool")
def shout(text: str) -> str:
    return text.upper()


# -- max_store_bytes -----------------------------------------------------------------------


def test_a_session_ends_where_the_store_is_full_and_calls_go_on(tmp_path: Path) -> None:
    """It is sealed by the limit with all it has, and the agent notices nothing."""
    recorder = replaykit.Recorder(tmp_path / "runs.rpk", max_store_bytes=20_000, on_loss="raise")
    calls = 0
    with recorder.session("long") as session:
        while recorder.is_recording:
            assert shout(f"call {calls}") == f"CALL {calls}"
            calls += 1
        assert shout("unrecorded") == "UNRECORDED"
    result = session.result
    assert (result.ended_by, result.state, result.lost) == ("limit", "sealed", 0)
    assert calls - 1 <= len(result.actions) <= calls
    assert result.late >= 1
    recorder.close()


@pytest.mark.parametrize("store", ["runs.rpk", "runs/"])
def test_a_full_store_skips_blocks_with_one_warning_and_refuses_start_session(tmp_path: Path, store: str) -> None:
    with replaykit.Recorder(f"{tmp_path}/{store}") as recorder, recorder.session("fills it"):
        shout("x" * 1000)
    full = replaykit.Recorder(f"{tmp_path}/{store}", max_store_bytes=500, on_loss="warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            with full.session("skipped") as session:
                assert shout("unrecorded") == "UNRECORDED"
            assert (session.id, session.result) == (None, None)
    assert [each.category for each in caught] == [ReplaykitWarning]
    assert "max_store_bytes" in str(caught[0].message)
    assert full.stats()["skipped"] == 3
    with pytest.raises(StoreFullError) as refused:
        full.start_session("refused")
    assert refused.value.limit == 500
    assert [summary.name for summary in full.list_sessions()] == ["fills it"]
    full.close()


def test_what_a_store_holds_counts_its_live_logs() -> None:
    store = FileStore("runs.rpk", files=MemoryFiles(), options=StoreOptions(max_bytes=1000))
    log = store.create_log(uuid4())
    assert not store.is_full()
    log.append(bytes(1000 - store.size()))
    assert (store.total_bytes(), store.is_full()) == (1000, True)
    with pytest.raises(StoreFullError):
        store.create_log(uuid4())
    log.remove()
    store.create_log(uuid4()).remove()
    store.close()


# -- rotation --------------------------------------------------------------------------------


class Clock:
    """Nanoseconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now_ns = 1_700_000_000 * 10**9

    def __call__(self) -> int:
        return self.now_ns


def files_of(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.suffix == ".rpk")


def test_a_directory_begins_a_new_file_when_its_own_is_old(tmp_path: Path) -> None:
    """New sessions go there; one that began before goes on where it is."""
    clock = Clock()
    options = StoreOptions(rotate_seconds=60)
    store = DirectoryStore(tmp_path / "runs", options=options, age_clock=clock)
    first, second, third = (uuid4() for _ in range(3))
    early = store.create_log(first)
    clock.now_ns += MINUTE_NS - 1
    same = store.create_log(second)
    assert early.store_path == same.store_path
    clock.now_ns += 1
    late = store.create_log(third)
    assert late.store_path != early.store_path
    for session_id in (first, second, third):
        clock.now_ns += 1
        store.publish(make_part(session_id))
    for log in (early, same, late):
        log.remove()
    assert len(files_of(tmp_path / "runs")) == 2
    published = FileStore(early.store_path, read_only=True).cards()
    assert [card.session_id for card in published] == [first, second]
    assert [card.session_id for card in store.cards()] == [first, second, third]
    store.close()


def test_a_clock_that_is_set_back_keeps_no_file_young(tmp_path: Path) -> None:
    """Its age is told by a clock that nobody sets."""
    wall, age = Clock(), Clock()
    store = DirectoryStore(tmp_path / "runs", options=StoreOptions(rotate_seconds=60), clock=wall, age_clock=age)
    early = store.create_log(uuid4())
    wall.now_ns -= 60 * MINUTE_NS
    age.now_ns += MINUTE_NS
    late = store.create_log(uuid4())

    assert late.store_path != early.store_path
    for log in (early, late):
        log.remove()
    store.close()


def test_a_directory_begins_a_new_file_when_its_own_is_large(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "runs", options=StoreOptions(rotate_bytes=2000))
    paths = []
    for _ in range(4):
        log = store.create_log(uuid4())
        paths.append(log.store_path)
        store.publish(make_part(log.session_id, range(2), text="".join(map(str, range(600)))))
        log.remove()
    assert len(set(paths)) > 1
    assert store.verify()
    assert len(store.cards()) == 4
    store.close()


def test_a_directory_goes_on_in_a_new_file_when_a_sync_failed(tmp_path: Path) -> None:
    """The poisoned file takes nothing more; the part that failed and later ones are published beside it."""
    files = FaultyFiles(SystemFiles(), fail_at=0, counted={"sync"})
    files.is_armed = False
    store = DirectoryStore(tmp_path / "runs", files=files)
    before, during, later = (uuid4() for _ in range(3))
    logs = [store.create_log(session_id) for session_id in (before, during)]
    store.publish(make_part(before, range(2)))
    files.is_armed = True
    with pytest.raises(StorageError):
        store.publish(make_part(during, range(3)))
    logs.append(store.create_log(later))
    for session_id in (during, later):
        store.publish(make_part(session_id, range(3)))
    assert len(files_of(tmp_path / "runs")) == 2
    for log in logs:
        log.remove()
    store.close()

    reopened = DirectoryStore(tmp_path / "runs")
    assert reopened.verify()
    found = {
        card.session_id: [entry["i"] for entry in reopened.read(card.session_id).actions()] for card in reopened.cards()
    }
    assert found == {before: [0, 1], during: [0, 1, 2], later: [0, 1, 2]}
    reopened.close()


def test_a_file_whose_sync_failed_says_so_until_it_is_opened_again() -> None:
    files = FaultyFiles(disk := MemoryFiles(), fail_at=1, counted={"sync"})
    store = FileStore("runs.rpk", files=files)
    first, second = uuid4(), uuid4()
    with pytest.raises(StorageError, match="Input/output"):
        store.publish(make_part(first))
    assert store.is_poisoned
    with pytest.raises(StorageError, match="Open it again"):
        store.publish(make_part(second))
    assert (files.count, files.failures) == (2, 1)
    store.close()
    reopened = FileStore("runs.rpk", files=disk)
    reopened.publish(make_part(second))
    assert second in [card.session_id for card in reopened.cards()]
    assert reopened.verify()
    reopened.close()


# -- padding and room ---------------------------------------------------------------------------


def starts_of_appends(files: TracedFiles) -> dict[str, list[int]]:
    """Return where each append to each file began."""
    sizes: dict[str, int] = {}
    starts: dict[str, list[int]] = {}
    for step in files.steps:
        if step.what == "append":
            starts.setdefault(step.path, []).append(sizes.get(step.path, 0))
            sizes[step.path] = sizes.get(step.path, 0) + len(step.data)
    return starts


@pytest.mark.parametrize("align", [512, 4096])
def test_with_align_every_record_and_every_commit_begins_on_a_sector(align: int) -> None:
    """So no sector that was synced is ever written again; all of it is readable."""
    files = TracedFiles(MemoryFiles())
    recorder: Any = replaykit.Recorder("runs.rpk", align=align, on_loss="raise")
    recorder._engine.lease.opened = store = FileStore("runs.rpk", files=files, options=StoreOptions(align=align))
    for name in ("first", "second"):
        with recorder.session(name):
            for number in range(5):
                shout("x" * (number * 300))
    assert [len(recorder.get_session(name).actions) for name in ("first", "second")] == [5, 5]
    store.delete(recorder.get_session("first").session_id)
    assert store.verify()
    recorder.close()
    starts = starts_of_appends(files)
    assert len(starts) == 3
    for path, offsets in starts.items():
        assert [offset for offset in offsets if offset % align] == [], path
        assert len(offsets) >= 4
    reopened = FileStore("runs.rpk", files=files)
    assert reopened.verify()
    assert len(reopened.cards()) == 1
    reopened.close()


def test_a_long_log_keeps_room_ahead_so_that_a_full_disk_comes_later() -> None:
    """What is allocated is the log's alone; its size stays what was written."""
    disk = MemoryFiles()
    log = FileLog(disk, "runs.rpk", UUID(int=1))
    log.create()
    log.append(bytes(1000))
    log.allocate_ahead()
    assert disk.used == 1000, "a short log takes nothing ahead"
    log.append(bytes(100_000))
    log.allocate_ahead()
    assert (log.size, disk.used) == (101_000, 101_000 + (1 << 20))
    disk.capacity = disk.used
    for _ in range(8):
        log.append(bytes(100_000))
    assert disk.used == disk.capacity
    log.allocate_ahead()
    with pytest.raises(OSError, match="space|whole"):
        for _ in range(3):
            log.append(bytes(100_000))
    log.remove()
    assert disk.used == 0


# -- while parts are published --------------------------------------------------------------------


def busy_recorder(files: Any, **options: Any) -> tuple[Any, Background]:
    """Return a recorder with more calls in its session than a part holds, and its background: this thread."""
    limits = StoreOptions(max_bytes=options.get("max_store_bytes"))
    recorder: Any = replaykit.Recorder("runs.rpk", on_loss="raise", redact=(), **options)
    recorder._engine.lease.opened = FileStore("runs.rpk", files=files, options=limits)
    background = background_of(recorder.store)
    background._thread = threading.current_thread()
    # As if a reader waited: no rests.
    background._pace._hurried_by.add(recorder)
    recorder.start_session("busy")
    for number in range(MAX_PART_ACTIONS + 10):
        shout(f"{number}")
    return recorder, background


def test_a_log_is_synced_in_time_though_parts_are_being_published() -> None:
    """An agent that is faster than the publishing keeps it busy for long; a sync waits 20 ms at most."""
    files = TracedFiles(MemoryFiles())
    recorder, background = busy_recorder(files, durability="group")
    background._publish_parts()
    steps = [(step.what, step.path.endswith(".live")) for step in files.steps]
    part_written = max(index for index, step in enumerate(steps) if step == ("append", False))
    assert ("sync", True) in steps[:part_written]
    recorder.end_session()
    recorder.close()


def test_a_full_store_ends_sessions_though_parts_are_being_published() -> None:
    recorder, background = busy_recorder(MemoryFiles(), durability="os", max_store_bytes=10_000)
    assert recorder.is_recording
    background._publish_parts()
    assert not recorder.is_recording
    [summary] = recorder.list_sessions()
    session = recorder.get_session("busy")
    assert (session.ended_by, summary.action_count) == ("limit", MAX_PART_ACTIONS + 10)
    recorder.close()
