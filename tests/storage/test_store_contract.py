"""Every store keeps the same promises."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from replaykit.protocols import Store
from replaykit.storage.directory_store import DirectoryStore
from replaykit.storage.file_store import FileStore
from replaykit.storage.opening import open_store
from replaykit.storage.options import StoreOptions
from replaykit.storage.sqlite_store import SqliteStore
from replaykit.testing.contracts import StoreContract


class TestFileStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with contextlib.closing(FileStore(tmp_path / "runs.rpk")) as store:
            yield store


class TestDirectoryStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with contextlib.closing(DirectoryStore(tmp_path / "runs")) as store:
            yield store


class TestRotatingDirectoryStore(StoreContract):
    """The same with a new file for nearly every session."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with contextlib.closing(DirectoryStore(tmp_path / "runs", options=StoreOptions(rotate_bytes=2000))) as store:
            yield store


class TestMemoryFile(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with contextlib.closing(SqliteStore(tmp_path / "notes.mv")) as store:
            yield store


class TestRam(StoreContract):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        with contextlib.closing(SqliteStore(":memory:")) as store:
            yield store


class TestSharedStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with contextlib.closing(open_store(tmp_path / "runs.rpk")) as store:
            yield store
