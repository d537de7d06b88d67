"""Sessions that end faster than they are published: each that waits holds a file open."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.errors import ReplaykitWarning, StorageError
from replaykit.recording import background, pace
from replaykit.recording.background import background_of
from replaykit.recording.watched import Watched
from replaykit.storage import log_files
from replaykit.storage.file_store import FileStore


@replaykit.records("find")
def find(query: str) -> list[str]:
    return [query] * 5


def end_sessions(recorder: replaykit.Recorder, count: int) -> int:
    """Record *count* sessions; return how many of them waited at most."""
    most = 0
    for number in range(count):
        with recorder.session(f"session {number}"):
            find("a question")
        most = max(most, len(background_of(recorder._engine.lease.store)._ended))
    return most


@pytest.mark.parametrize("location", ["runs.rpk", "runs/", "notes.mv"])
def test_no_more_than_some_ever_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    monkeypatch.setattr(pace, "_MOST_WAITING", 3)
    monkeypatch.setattr(pace, "_LONGEST_WAIT_SECONDS", 300)
    monkeypatch.setattr(pace, "_PATIENCE_SECONDS", 300)

    with replaykit.Recorder(str(tmp_path / location)) as recorder:
        assert end_sessions(recorder, 40) <= 3
        assert len(recorder.list_sessions(state="sealed")) == 40


def test_files_that_get_scarce_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a process may open few, fewer sessions wait: the next ones need theirs."""
    monkeypatch.setattr(log_files, "_most_handles", lambda: 64)
    monkeypatch.setattr(pace, "_LONGEST_WAIT_SECONDS", 300)
    monkeypatch.setattr(pace, "_PATIENCE_SECONDS", 300)

    with replaykit.Recorder(str(tmp_path / "runs.rpk")) as recorder:
        assert end_sessions(recorder, 100) <= 24
        assert recorder.stats()["skipped"] == 0
        assert len(recorder.list_sessions(state="sealed")) == 100


def test_on_a_loop_they_are_awaited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many wait and no more, and yet the loop's thread never sleeps."""
    monkeypatch.setattr(pace, "_MOST_WAITING", 3)
    monkeypatch.setattr(pace, "_LONGEST_WAIT_SECONDS", 300)
    monkeypatch.setattr(pace, "_PATIENCE_SECONDS", 300)
    sleep, slept, most = time.sleep, [], 0

    def noted(seconds: float) -> None:
        slept.append(threading.current_thread())
        sleep(seconds)

    async def requests(count: int) -> None:
        nonlocal most
        for number in range(count):
            async with recorder.session(f"request {number}"):
                find("a question")
            most = max(most, len(background_of(recorder._engine.lease.store)._ended))

    async def serve() -> None:
        await requests(40)
        assert most <= 3
        await asyncio.gather(*map(requests, [1] * 40))

    monkeypatch.setattr(time, "sleep", noted)
    with replaykit.Recorder(str(tmp_path / "runs.rpk")) as recorder:
        asyncio.run(serve())
        assert threading.current_thread() not in slept
        assert len(recorder.list_sessions(state="sealed")) == 80
    assert most > 0


def test_whoever_ends_a_session_waits_for_a_moment_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the disk hangs: the sessions wait, the agent goes on."""
    monkeypatch.setattr(pace, "_MOST_WAITING", 2)
    monkeypatch.setattr(pace, "_PATIENCE_SECONDS", 0.01)
    goes_on, publish_end = threading.Event(), Watched.publish_end

    def hanging(watched: Watched) -> bool:
        goes_on.wait()
        return publish_end(watched)

    monkeypatch.setattr(Watched, "publish_end", hanging)
    with replaykit.Recorder(str(tmp_path / "runs.rpk")) as recorder:
        assert end_sessions(recorder, 10) >= 9
        goes_on.set()
        assert len(recorder.list_sessions(state="sealed")) == 10


def test_a_store_that_takes_no_session_keeps_few_files_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And once it takes them again, all of them are there."""
    publish, refuses = FileStore.publish, [True]

    def refused(store: FileStore, part: Any, **more: Any) -> None:
        if refuses:
            raise StorageError("the disk has its day off")
        publish(store, part, **more)

    monkeypatch.setattr(FileStore, "publish", refused)
    monkeypatch.setattr(background, "_MOST_FAILED", 5)
    with replaykit.Recorder(str(tmp_path / "runs.rpk")) as recorder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ReplaykitWarning)
        end_sessions(recorder, 20)
        waiting = background_of(recorder._engine.lease.store)
        waiting.drain()
        assert waiting.failures == 20
        assert sum(log.has_writer() for log in recorder._engine.lease.store.logs()) <= 5 + 3
        assert len(recorder.list_sessions()) == 20

        refuses.clear()
        end_sessions(recorder, 1)
        recorder.flush()
        assert [each.state for each in recorder.list_sessions()] == ["sealed"] * 21
        assert waiting.failures == 0

    assert [name for name in os.listdir(tmp_path) if name.endswith(".live")] == []
    with replaykit.load(tmp_path / "runs.rpk") as stored:
        assert len(stored.list_sessions()) == 21
