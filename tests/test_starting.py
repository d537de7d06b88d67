"""A service whose store cannot be written does not start: said when it is opened, and at the first session."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.errors import ReplaykitWarning, StorageError
from replaykit.storage.files import SystemFiles


@replaykit.records("find")
def search(query: str) -> list[str]:
    return [query]


class ReadOnlyDisk:
    """Whether the disk takes nothing, as one that is mounted for reading or belongs to somebody else."""

    def __init__(self) -> None:
        self.refuses = False


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReadOnlyDisk]:
    found, opened = ReadOnlyDisk(), SystemFiles.open

    def refusing(self: SystemFiles, path: str, *, write: bool, create: bool) -> int:
        if found.refuses and write:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return opened(self, path, write=write, create=create)

    monkeypatch.setattr(SystemFiles, "open", refusing)
    yield found
    found.refuses = False


@pytest.fixture
def runs(tmp_path: Path) -> str:
    """A directory that is there, with a session in it."""
    with replaykit.Recorder(f"{tmp_path}/runs/") as recorder, recorder.session("before"):
        search("x")
    return f"{tmp_path}/runs/"


def test_opening_a_directory_finds_that_it_cannot_be_written(runs: str, disk: ReadOnlyDisk) -> None:
    """Although it is there, and can be read."""
    disk.refuses = True
    with replaykit.Recorder(runs) as recorder, pytest.raises(StorageError, match="Read-only"):
        recorder.open_store()


def test_opening_leaves_no_log(runs: str) -> None:
    """And the session that follows is recorded."""
    with replaykit.Recorder(runs) as recorder:
        recorder.open_store()
        assert not list(Path(runs).glob("*.live"))
        with recorder.session("first"):
            search("x")
        assert [each.name for each in recorder.list_sessions()] == ["before", "first"]


def test_a_listing_says_nothing_of_the_first_session(runs: str, disk: ReadOnlyDisk) -> None:
    """It fails; one that comes after a session that was recorded runs without."""
    with replaykit.Recorder(runs) as recorder:
        disk.refuses = True
        assert len(recorder.list_sessions()) == 1
        with pytest.raises(StorageError, match="Read-only"), recorder.session():
            pass
        disk.refuses = False
        with recorder.session("first"):
            search("x")
        disk.refuses = True
        with pytest.warns(ReplaykitWarning), recorder.session() as skipped:
            search("x")
        assert skipped.id is None
        disk.refuses = False


def test_what_takes_no_session_anyway_is_no_reason_not_to_start(
    runs: str, disk: ReadOnlyDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recording that is switched off, and a store that is full."""
    options: dict[str, Any] = {"max_store_bytes": 1}
    with replaykit.Recorder(runs, **options) as recorder:
        recorder.open_store()
    disk.refuses = True
    monkeypatch.setenv("REPLAYKIT_DISABLED", "1")
    with replaykit.Recorder(runs) as recorder:
        recorder.open_store()
