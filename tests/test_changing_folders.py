"""A program may go to another folder: what it opened by a relative path stays what it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import replaykit
from replaykit.settings import absolute_store


@replaykit.records("find")
def search(query: str) -> list[dict[str, str]]:
    return [{"id": "a", "text": query}]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Return another folder, and undo `configure`."""
    other = tmp_path / "elsewhere"
    other.mkdir()
    yield other
    replaykit.configure()


def names(recorder: object) -> list[str | None]:
    return [each.name for each in recorder.list_sessions()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("store", ["r.rpk", "r/", "r.mv", "./r.rpk", None])
def test_a_recorder_stays_where_it_was_made(store: str | None, tmp_path: Path, elsewhere: Path) -> None:
    """Whether its store is opened before the program goes, or after."""
    for begins_before in (True, False):
        os.chdir(tmp_path)
        recorder = replaykit.Recorder(store)
        if begins_before:
            with recorder.session("before"):
                search("a")
        os.chdir(elsewhere)
        with recorder.session("after") as session:
            search("b")
        assert session.result.actions[0].output[0]["text"] == "b"
        recorder.close()
        assert session.result is not None

    assert os.listdir(elsewhere) == []
    os.chdir(tmp_path)
    assert names(replaykit.load(store or ".replaykit/")) == ["before", "after", "after"]


def test_a_memory_keeps_its_sessions_with_itself(tmp_path: Path, elsewhere: Path) -> None:
    """Frames and sessions are in one file, and with store= in the two that were meant."""
    mv = replaykit.open("m.mv")
    other = replaykit.open("o.mv", store="o.rpk")
    os.chdir(elsewhere)
    for memory in (mv, other):
        with memory.session("s"):
            memory.put("Paris")
        memory.fork("fork.mv").close()
        os.unlink("fork.mv")
        memory.close()

    assert os.listdir(elsewhere) == []
    assert names(replaykit.load(tmp_path / "m.mv")) == ["s"]
    assert names(replaykit.load(tmp_path / "o.rpk")) == ["s"]


def test_what_is_configured_stays_where_it_was_said(tmp_path: Path, elsewhere: Path) -> None:
    """As for a recorder: the path is that of the moment in which it was given."""
    replaykit.configure(store="c.rpk")
    decorated = replaykit.session("whole", store="d.rpk")
    os.chdir(elsewhere)
    with replaykit.session("s"), decorated:
        search("a")

    assert os.listdir(elsewhere) == []


@pytest.mark.parametrize("store", ["r.rpk", "r/", "r.mv"])
def test_what_was_loaded_goes_on_to_be_read(store: str, elsewhere: Path) -> None:
    """A recording is read piece by piece: also what is read after the program has gone elsewhere, and live logs."""
    recorder = replaykit.Recorder(store)
    with recorder.session("ended"):
        search("a")
    with recorder.session("open") as session:
        search("b")
        recording = replaykit.load(store)
        player = replaykit.play(store, "ended")
        os.chdir(elsewhere)
        assert names(recording) == ["ended", "open"]
        assert recording.get_session("ended").actions[0].action_type.query == "a"
        assert session.id == recording.get_session("open").session_id
        assert recording.verify()
    with player:
        assert search("a") == [{"id": "a", "text": "a"}]
    recorder.close()
    assert recording.location == store


def test_a_path_is_made_absolute_as_the_system_reads_it(tmp_path: Path) -> None:
    """Behind a link `..` is the parent of what it leads to."""
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/inner")

    assert absolute_store(":memory:") == ":memory:"
    assert absolute_store("./runs/") == f"{tmp_path}/runs/"
    assert os.path.realpath(absolute_store("link/../r.rpk")) == str(tmp_path / "real" / "r.rpk")


def test_where_the_folder_is_gone_opening_says_so(tmp_path: Path) -> None:
    """Making a recorder is not where a program ends."""
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()

    recorder = replaykit.Recorder("r.rpk")
    with pytest.raises(replaykit.errors.StorageError):
        recorder.open_store()
