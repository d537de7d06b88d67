"""Finished files that are read once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import replaykit
from replaykit.errors import NotAStoreError, StoreNotFoundError
from replaykit.loading import load_finished
from replaykit.storage.held_files import HeldFiles


@pytest.mark.parametrize("size", [0, 1, 64 << 10, (64 << 10) + 1, 300_000])
def test_what_is_read_is_what_is_there(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "data").write_bytes(data)
    files = HeldFiles()

    handle = files.open(str(tmp_path / "data"), write=False, create=False)

    assert files.size(handle) == size
    assert files.pread(handle, size + 10, 0) == data
    assert files.pread(handle, 7, max(0, size - 3)) == data[max(0, size - 3) :][:7]
    assert files.pread(handle, 7, size + 1) == b""
    files.close(handle)
    with pytest.raises(OSError, match="Bad file"):
        files.size(handle)


@pytest.mark.parametrize("count", [1, 3000])
def test_a_finished_recording_reads_as_it_does_otherwise(tmp_path: Path, count: int) -> None:
    path = str(tmp_path / "runs.rpk")
    search = replaykit.records("find")(lambda query: [query] * 3)
    with replaykit.Recorder(path) as recorder, recorder.session("one"):
        for number in range(count):
            search(f"query {number}")

    with load_finished(path) as finished, replaykit.load(path) as other:
        assert list(finished.get_session("one").actions) == list(other.get_session("one").actions)
        assert finished.verify()


def test_what_is_no_file_of_ours_is_said(tmp_path: Path) -> None:
    (tmp_path / "link.rpk").symlink_to(tmp_path / "runs.rpk")
    (tmp_path / "other.rpk").write_text("something else\n" * 20)

    with pytest.raises(StoreNotFoundError):
        load_finished(str(tmp_path / "missing.rpk"))
    with pytest.raises(StoreNotFoundError):
        load_finished(str(tmp_path / "other.rpk" / "below.rpk"))
    with pytest.raises(NotAStoreError):
        load_finished(str(tmp_path / "other.rpk"))
    with pytest.raises(replaykit.errors.StorageError, match="link"):
        load_finished(str(tmp_path / "link.rpk"))
