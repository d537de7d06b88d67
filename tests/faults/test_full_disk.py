"""A disk without a free byte: sessions end on it all the same, or stay whole in their log (G17)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from effort import Figure

import replaykit
from replaykit.errors import ReplaykitError, StorageError
from replaykit.recording.background import background_of
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.storage.recovery import recover
from replaykit.storage.reserve import Reserve
from replaykit.testing.contracts import make_part
from replaykit.testing.files import GuardedFiles, MemoryFiles

Effort = Callable[[int], int]

STORE = "runs.rpk"
CALLS = 5
RESERVE_BYTES = 256 << 10


@replaykit.records("tool")
def shout(text: str) -> str:
    return text.upper()


class Sealing:
    """A session that ends when the disk has *free* bytes left."""

    def __init__(self, *, free: int, has_reserve: bool) -> None:
        self.disk = MemoryFiles(None if has_reserve else RESERVE_BYTES)
        self.recorder: Any = replaykit.Recorder(STORE, durability="os", on_loss="ignore")
        self.guard = GuardedFiles(self.disk)
        self.recorder._engine.lease.opened = store = FileStore(STORE, files=self.guard)
        with self.recorder.session("full") as session:
            for number in range(CALLS):
                assert shout(f"call {number}") == f"CALL {number}"
            self.disk.capacity = self.disk.used + free
        background_of(store).stop()
        self.is_published = not self.recorder.stats()["unpublished"]
        self.session_id = session.id
        self.disk.capacity = None

    def recovered(self) -> tuple[str, int]:
        """Return what the next process finds of the session once there is room again."""
        guard = GuardedFiles(self.disk.after_kill(), self.guard.watermarks)
        store = FileStore(STORE, files=guard)
        recover(store)
        assert self.guard.violations == guard.violations == []
        assert store.verify()
        assert list(store.logs()) == []
        [card] = store.cards()
        store.close()
        return card.state, card.action_count

    def close(self) -> None:
        self.recorder.close()


def fills(effort: Effort) -> range:
    """Free bytes from none to more than enough, so close that every write is cut somewhere; each byte nightly."""
    return range(0, 2400, max(1, 100 // effort(100)))


def test_g17_a_session_ends_on_a_full_disk_thanks_to_the_reserve(effort: Effort, figure: Figure) -> None:
    """Whatever is left, nothing or almost enough: it is published, sealed and whole."""
    frees = fills(effort)
    for free in frees:
        sealing = Sealing(free=free, has_reserve=True)
        assert sealing.is_published, f"{free} bytes free"
        assert sealing.recovered() == ("sealed", CALLS)
        sealing.close()
    figure("G17", f"with the reserve: sealed at {len(frees)} fills of the disk")


def test_g17_without_a_reserve_the_log_is_intact(effort: Effort, figure: Figure) -> None:
    """Where the disk was too full even for the reserve the session waits in its log, and loses no call."""
    frees = fills(effort)
    states = set()
    for free in frees:
        sealing = Sealing(free=free, has_reserve=False)
        state, count = sealing.recovered()
        assert count == CALLS
        assert not sealing.is_published or state == "sealed"
        states.add((sealing.is_published, state))
        sealing.close()
    # The end does not fit, the part does not fit, all fits.
    assert states == {(False, "interrupted"), (False, "sealed"), (True, "sealed")}
    figure("G17", f"without a reserve: the log intact at {len(frees)} fills of the disk")


def test_a_session_can_be_deleted_on_a_full_disk() -> None:
    """The reserve makes room for the deletion; without one it is refused and the session is there."""
    disk = MemoryFiles()
    store = FileStore(STORE, files=disk)
    goes, stays = uuid4(), uuid4()
    store.publish(make_part(goes))
    store.publish(make_part(stays))
    disk.capacity = disk.used
    with pytest.raises(StorageError, match="No space"):
        store.delete(goes)
    assert [card.session_id for card in store.cards()] == [goes, stays]

    disk.capacity = None
    log = store.create_log(uuid4())
    disk.capacity = disk.used
    store.delete(goes)
    assert [card.session_id for card in store.cards()] == [stays]
    log.remove()
    store.close()


def test_a_reserve_holds_room_until_it_is_given() -> None:
    """It is room that nobody else can use; giving it twice gives nothing."""
    disk = MemoryFiles(RESERVE_BYTES + 10)
    reserve = Reserve(disk, "")
    assert not reserve.give()
    reserve.take()
    reserve.take()
    assert disk.free == 10
    assert (reserve.give(), reserve.give()) == (True, False)
    assert disk.free == RESERVE_BYTES + 10


def test_a_reserve_is_given_although_a_child_has_a_copy_of_it(tmp_path: Path) -> None:
    """A file without a name keeps its blocks until its last descriptor is closed, unless it is cut."""
    reserve = Reserve(SystemFiles(), str(tmp_path))
    reserve.take()
    copy = os.dup(reserve._handle)
    assert os.fstat(copy).st_blocks * 512 >= RESERVE_BYTES
    assert reserve.give()
    assert os.fstat(copy).st_blocks == 0
    os.close(copy)


def test_a_child_leaves_the_room_to_its_parent(tmp_path: Path) -> None:
    """It closes its copy and cuts nothing."""
    reserve = Reserve(SystemFiles(), str(tmp_path))
    reserve.take()
    copy = os.dup(reserve._handle)
    reserve.abandon()
    assert os.fstat(copy).st_blocks * 512 >= RESERVE_BYTES
    assert not reserve.give()
    os.close(copy)


def test_a_disk_that_has_no_room_for_a_reserve_takes_sessions_all_the_same() -> None:
    disk = MemoryFiles(RESERVE_BYTES - 1)
    reserve = Reserve(disk, "")
    reserve.take()
    assert not reserve.give()
    store = FileStore(STORE, files=disk)
    store.create_log(uuid4()).remove()
    store.close()


def test_a_disk_that_is_full_costs_actions_not_calls() -> None:
    """What no longer fits is counted as lost; what fitted is there."""
    disk = MemoryFiles()
    recorder: Any = replaykit.Recorder(STORE, durability="os", on_loss="raise")
    recorder._engine.lease.opened = FileStore(STORE, files=disk)
    with pytest.raises(ReplaykitError, match="3 action"):
        with recorder.session("full"):
            shout("fits")
            disk.capacity = disk.used
            for number in range(3):
                assert shout(f"call {number}") == f"CALL {number}"
    session = recorder.get_session("full")
    assert ([action.output for action in session.actions], session.lost) == (["FITS"], 3)
    background_of(recorder.store).stop()
    recorder.close()
