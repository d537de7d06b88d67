"""Live logs that are made before their sessions begin."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import replaykit
from replaykit.recording import ready_logs
from replaykit.recording.background import background_of
from replaykit.recording.ready_logs import ReadyLogs
from replaykit.storage.file_store import FileStore
from replaykit.storage.opening import open_store
from replaykit.storage.options import StoreOptions

KILLED = """
import os, sys
import replaykit
from replaykit.recording.background import background_of

recorder = replaykit.Recorder(sys.argv[1])
for number in range(4):
    with recorder.session(f"session {number}") as session:
        session.record("tool", name="lookup", arguments={"number": number}, output=number)
ready = background_of(recorder._engine.lease.store)._ready
ready.prepare()
assert len(ready._ready) == 3
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FileStore]:
    made = FileStore(tmp_path / "runs.rpk")
    yield made
    made.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what lets time pass."""
    now = [1000.0]
    monkeypatch.setattr(ready_logs.time, "monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


def live_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.live"))


def test_only_sessions_that_follow_each_other_are_prepared_for(
    store: FileStore, tmp_path: Path, clock: Callable[[float], None]
) -> None:
    ready = ReadyLogs(store)
    ready.prepare()
    ready.note_opened()
    ready.prepare()
    assert live_files(tmp_path) == []
    assert ready.take() is None

    clock(0.5)
    ready.note_opened()
    ready.prepare()
    log = ready.take()

    assert len(live_files(tmp_path)) == 3
    assert log is not None
    assert (log.size, log.has_writer()) == (0, True)
    clock(4)
    ready.prepare()
    assert len(live_files(tmp_path)) == 3
    clock(2)
    ready.prepare()
    assert live_files(tmp_path) == [os.path.basename(log.path)]
    log.remove()


def test_a_full_store_and_a_closed_one_have_none(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "runs.rpk", options=StoreOptions(max_bytes=10_000_000))
    ready = ReadyLogs(store)
    ready.note_opened()
    ready.note_opened()
    ready.prepare()
    with (tmp_path / "runs.rpk").open("ab") as file:
        file.write(bytes(10_000_000))
    assert ready.take() is None
    assert len(live_files(tmp_path)) == 2

    store.close()
    ready.drop()
    ready.prepare()

    assert live_files(tmp_path) == []


@pytest.mark.parametrize("location", ["runs.rpk", "runs/", "notes.mv"])
def test_sessions_on_ready_logs_are_sessions_like_others(tmp_path: Path, location: str) -> None:
    """Each has its own id; to a reader what is ready is no session; closing takes it away."""
    recorder = replaykit.Recorder(str(tmp_path / location))
    ids = []
    for number in range(12):
        background_of(recorder._engine.lease.store)._ready._fill()
        with recorder.session(f"session {number}") as session:
            session.record("tool", name="lookup", arguments={"number": number}, output=number)
            (opened,) = recorder.list_sessions(state="open")
            assert opened.name == f"session {number}"
            ids.append(opened.session_id)

    with replaykit.load(str(tmp_path / location)) as stored:
        found = stored.list_sessions()
    recorder.close()

    assert [each.session_id for each in found] == ids
    assert len(set(ids)) == 12
    assert live_files(tmp_path) == []
    with replaykit.load(str(tmp_path / location)) as stored:
        assert [stored.get_session(each).actions[0].output for each in ids] == list(range(12))


def test_two_recorders_of_one_store_share_what_is_ready(tmp_path: Path) -> None:
    path = str(tmp_path / "runs.rpk")
    first, second = replaykit.Recorder(path), replaykit.Recorder(path)
    for recorder in (first, second):
        with recorder.session():
            pass
    background_of(first._engine.lease.store)._ready._fill()
    first.close()
    with second.session("after"):
        pass
    second.close()

    assert live_files(tmp_path) == []
    with replaykit.load(path) as stored:
        assert len(stored.list_sessions()) == 3


@pytest.mark.parametrize("location", ["runs.rpk", "runs/", "notes.mv"])
def test_what_a_killed_process_had_ready_goes_with_the_next_opening(tmp_path: Path, location: str) -> None:
    path = str(tmp_path / location)
    killed = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert killed.returncode == -9
    assert len(live_files(tmp_path)) >= 3

    with replaykit.Recorder(path) as recorder:
        names = [each.name for each in recorder.list_sessions()]

    assert names == [f"session {number}" for number in range(4)]
    assert live_files(tmp_path) == []


def test_a_forked_child_leaves_it_to_its_parent(store: FileStore, tmp_path: Path) -> None:
    ready = ReadyLogs(store)
    ready._fill()
    before = live_files(tmp_path)
    child = os.fork()
    if child == 0:
        ready.abandon()
        os._exit(0 if ready.take() is None else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert live_files(tmp_path) == before
    log = ready.take()
    assert log is not None
    assert log.has_writer()
    log.remove()
    ready.drop()
    assert open_store(tmp_path / "runs.rpk", read_only=True).logs() == []
