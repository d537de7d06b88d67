"""Following a session: every action once, as it ends, with work that does not grow with the session."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import replaykit
from replaykit.errors import SessionNotFoundError
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.storage.following import Follower, follow, newest_open
from replaykit.storage.gathering import MAX_PART_ACTIONS
from replaykit.storage.opening import open_store
from replaykit.testing.contracts import make_part


@replaykit.records("find")
def look(query: str) -> list[str]:
    return [query.upper()]


class CountingFiles(SystemFiles):
    """The disk, which counts the bytes that are asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.read_bytes = 0

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        data = super().pread(handle, size, offset)
        self.read_bytes += len(data)
        return data


@pytest.fixture(params=["runs.rpk", "runs/", "notes.mv"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return os.path.join(tmp_path, request.param)


def queries(actions: Any) -> list[str]:
    return [action.arguments["query"] for action in actions]


def test_each_action_comes_once_as_it_ends_and_the_end_is_seen(location: str) -> None:
    """Whatever the kind of store; what was before is shown as far as asked."""
    recorder = replaykit.Recorder(location)
    with recorder.session("watched") as session:
        for number in range(5):
            look(f"before {number}")
        follower = Follower(open_store(location, read_only=True), session.id, last=2)

        assert queries(follower.step()) == ["before 3", "before 4"]
        assert (follower.state, follower.name, follower.count) == ("open", "watched", 5)
        assert follower.step() == []
        look("one")
        assert queries(follower.step()) == ["one"]
        look("two")
    recorder.close()

    assert queries(follower.step()) == ["two"]
    assert (follower.state, follower.count) == ("sealed", 7)
    assert follower.step() == []


def test_what_ends_first_comes_first(tmp_path: Path) -> None:
    """A call is shown when it ends, so an outer call comes after those that it made."""
    store = str(tmp_path / "runs.rpk")

    @replaykit.records("tool")
    def outer() -> list[str]:
        return look("inner")

    with replaykit.Recorder(store) as recorder, recorder.session() as session:
        follower = Follower(open_store(store, read_only=True), session.id)
        outer()
        assert [(action.sequence, action.kind) for action in follower.step()] == [(1, "find"), (0, "tool")]


def test_it_goes_on_across_the_publishing_of_parts(location: str) -> None:
    """Nothing twice and nothing missing, however much of the session is published meanwhile."""
    with replaykit.Recorder(location) as recorder:
        with recorder.session() as session:
            look("0")
            follower = Follower(open_store(location, read_only=True), session.id, last=10)
            found = follower.step()
            for number in range(1, MAX_PART_ACTIONS + 100):
                look(str(number))
            recorder.flush()
            found += follower.step()
            look("last")
        found += follower.step()

    assert queries(found) == [*map(str, range(MAX_PART_ACTIONS + 100)), "last"]
    assert follower.state == "sealed"


def test_a_step_reads_only_what_is_new(tmp_path: Path) -> None:
    """However long the session is: a hundred more actions cost a hundred actions of reading."""
    path = str(tmp_path / "runs.rpk")
    files = CountingFiles()
    with replaykit.Recorder(path) as recorder, recorder.session() as session:
        for number in range(2000):
            look(f"{number} " + "x" * 500)
        follower = Follower(FileStore(path, read_only=True, files=files), session.id)
        follower.step()
        whole, files.read_bytes = files.read_bytes, 0
        for _ in range(100):
            assert follower.step() == []
        assert files.read_bytes == 0
        look("one more")
        assert queries(follower.step()) == ["one more"]

    assert files.read_bytes < whole / 500


def test_a_session_that_has_ended_is_shown_from_the_store(location: str) -> None:
    """Its last actions, and its end at once."""
    with replaykit.Recorder(location) as recorder:
        with recorder.session("done") as session:
            for number in range(5):
                look(str(number))
        recorder.flush()
        follower = Follower(open_store(location, read_only=True), session.id, last=3)

        assert queries(follow(follower, pause=lambda: pytest.fail("there is nothing to wait for"))) == ["2", "3", "4"]
        assert (follower.state, follower.name) == ("sealed", "done")


def test_a_session_that_ends_between_two_looks_loses_nothing(location: str) -> None:
    """Its log is published and removed before the follower looks again, or before it looked at all."""
    with replaykit.Recorder(location) as recorder:
        handle = recorder.session()
        with handle as session:
            look("seen")
            looked = Follower(open_store(location, read_only=True), session.id)
            unlooked = Follower(open_store(location, read_only=True), session.id)
            looked.step()
            look("unseen")
        recorder.flush()

    assert queries(looked.step()) == ["unseen"]
    assert queries(unlooked.step()) == ["seen", "unseen"]
    assert {looked.state, unlooked.state} == {"sealed"}


def test_a_writer_that_was_killed_ends_the_session_as_interrupted(tmp_path: Path) -> None:
    """The call that was running is shown as unfinished, a torn end is no gap; nothing is waited for."""
    source = """
        import os, signal, replaykit
        recorder = replaykit.Recorder("runs.rpk")
        session = recorder.start_session("killed")

        @recorder.records("put")
        def put(content):
            if content == "die":
                os.kill(os.getpid(), signal.SIGKILL)

        put("kept")
        put("die")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], cwd=tmp_path, timeout=60)
    (log,) = tmp_path.glob("*.live")
    with log.open("ab") as file:
        file.write(b"rkL1 torn")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    store = open_store(str(tmp_path / "runs.rpk"), read_only=True)
    (found,) = store.logs()
    follower = Follower(store, found.session_id)

    shown = follower.step()

    assert done.returncode == -9
    assert [(action.arguments["content"], sorted(action.flags)) for action in shown] == [
        ("kept", []),
        ("die", ["unfinished"]),
    ]
    assert (follower.state, follower.lacking()) == ("interrupted", (0, 0))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_resumed_session_is_followed_from_before_it_was_resumed(tmp_path: Path) -> None:
    """What earlier logs held is in the store: it is shown first, and once."""
    path = str(tmp_path / "runs.rpk")
    source = """
        import os, signal, replaykit
        replaykit.Recorder("runs.rpk").start_session("resumed")

        @replaykit.records("find")
        def look(query):
            return []

        look("first life")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], cwd=tmp_path, timeout=60)
    with replaykit.Recorder(path) as recorder:
        session_id = recorder.resume_session("resumed")
        look("second life")
        follower = Follower(open_store(path, read_only=True), session_id)
        assert queries(follower.step()) == ["first life", "second life"]
        recorder.end_session()

    assert follower.step() == []
    assert follower.state == "sealed"


def test_the_newest_session_that_is_recorded_now_is_found(tmp_path: Path) -> None:
    """An ended one is not, nor one whose writer is gone."""
    path = str(tmp_path / "runs.rpk")
    reader: Any = None

    def newest() -> Any:
        return newest_open(open_store(path, read_only=True))

    with replaykit.Recorder(path) as recorder:
        with recorder.session("first"):
            assert newest() is not None
        recorder.flush()
        reader = newest()
        with recorder.session("second") as session:
            assert newest() == session.id

    assert reader is None
    assert newest() is None


def test_an_unknown_session_is_not_found(tmp_path: Path) -> None:
    """Neither a log nor the store knows it."""
    path = tmp_path / "runs.rpk"
    store = FileStore(path)
    store.publish(make_part(uuid4(), [0]))
    store.close()

    with pytest.raises(SessionNotFoundError):
        Follower(open_store(str(path), read_only=True), uuid4())


def test_following_pauses_between_looks_only(tmp_path: Path) -> None:
    """The pause is the caller's; what happens in it is what the next look shows."""
    path = str(tmp_path / "runs.rpk")
    with replaykit.Recorder(path) as recorder:
        handle = recorder.session()
        session = handle.__enter__()
        follower = Follower(open_store(path, read_only=True), session.id)
        meanwhile: Iterator[Any] = iter([lambda: look("a"), lambda: None, lambda: handle.__exit__(None, None, None)])

        shown = queries(follow(follower, pause=lambda: next(meanwhile)()))

    assert shown == ["a"]
    assert list(meanwhile) == []
