"""What the files of a directory hold, whoever writes them: which there are, how large, which sessions are in each."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from uuid import UUID

import attrs

from replaykit.errors import NotAStoreError, StorageError, StoreNotFoundError
from replaykit.format.catalog import Record
from replaykit.format.entries import Card
from replaykit.protocols import FileLayer
from replaykit.storage.checking import SessionsRead, segment_problems
from replaykit.storage.file_store import FileStore
from replaykit.storage.log_files import FileLog, session_of_log
from replaykit.storage.merging import Found, card_of_pieces, merged
from replaykit.storage.own_files import SUFFIX, OwnFiles
from replaykit.storage.small_files import SMALL_BYTES, records_of_small
from replaykit.storage.stored_session import SegmentSession

__all__ = ["DirectoryFiles"]

_MEASURED_FOR_S = 1.0
_MOST_READERS = 64


@attrs.frozen
class _Listed:
    """What a file held when it was looked at."""

    identity: tuple[int, int]
    size: int
    records: Sequence[Record]


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Say what cannot be looked at; that it is missing is for the caller."""
    try:
        yield
    except (FileNotFoundError, StorageError):
        raise
    except OSError as error:
        raise StorageError(f"Cannot look at {path}: {error.strerror}", path=path) from error


def _behind(passed: Callable[[int], None], before: int, offset: int) -> None:
    passed(before + offset)


class DirectoryFiles:
    """
    The files in *directory*, to be read; those that are open in *own* are read through their writer.

    *directory* ends in a slash.  Names and sizes may be asked for at any
    time; for everything else the caller holds the guard of the store.
    """

    def __init__(self, directory: str, *, own: OwnFiles, files: FileLayer) -> None:
        self._directory = directory
        self._own = own
        self._files = files
        self._measured_at = -math.inf
        self._total_bytes = 0
        self._readers: dict[str, FileStore] = {}
        self._listed: dict[str, _Listed] = {}

    # -- names and sizes ----------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of the store files, sorted."""
        return sorted(name for name in self._all_names() if name.endswith(SUFFIX))

    def logs(self) -> Sequence[FileLog]:
        """Return the live logs, sorted by name; each knows its store file."""
        # A recovery asks once it is done: what it removed makes room.
        self._measured_at = -math.inf
        logs = []
        for name in sorted(self._all_names()):
            parsed = session_of_log(name)
            if parsed is not None and parsed[0].endswith(SUFFIX):
                logs.append(FileLog(self._files, self._directory + parsed[0], parsed[1]))
        return logs

    def store_bytes(self) -> int:
        """Return how many bytes the store files hold now."""
        return sum(map(self._size_of, self.names()))

    def total_bytes(self) -> int:
        """
        Return how many bytes store files and live logs hold, as of at most a second ago; 0 without the directory.

        Raises:
            StorageError: The system refuses.
        """
        if time.monotonic() - self._measured_at >= _MEASURED_FOR_S:
            self._total_bytes = 0
            with suppress(FileNotFoundError), _told(self._directory):
                self._total_bytes = sum(self._sizes())
            self._measured_at = time.monotonic()
        return self._total_bytes

    def _sizes(self) -> Iterator[int]:
        with os.scandir(self._directory) as found:
            for entry in found:
                if entry.name.endswith((SUFFIX, ".live")):
                    with suppress(FileNotFoundError):
                        yield entry.stat(follow_symlinks=False).st_size

    def _size_of(self, name: str) -> int:
        with suppress(FileNotFoundError), _told(self._directory + name):
            return os.lstat(self._directory + name).st_size
        return 0

    def _all_names(self) -> list[str]:
        with suppress(FileNotFoundError), _told(self._directory):
            return os.listdir(self._directory)
        return []

    # -- sessions -----------------------------------------------------------------

    def found(self) -> dict[bytes, list[Found]]:
        """
        Return where each session is published, oldest first.

        Raises:
            StorageError: A file is damaged or refuses: to leave out its sessions would hide that.
        """
        listed: list[tuple[str, Sequence[Record]]] = []
        names = self.names()
        for name in names:
            try:
                listed.append((self._directory + name, self._records(name)))
            except StoreNotFoundError:
                continue
            except NotAStoreError:
                # It was never ours: `problems` names it, a listing goes on.
                continue
        for name in self._listed.keys() - set(names):
            del self._listed[name]
        return merged(listed)

    def card(self, found: Sequence[Found]) -> Card:
        """Return the card of a session that was *found*; of one that is in one file nothing is read."""
        if len(found) == 1:
            return found[0].card
        return self.session(found).card

    def session(self, found: Sequence[Found]) -> SegmentSession:
        """
        Return a session that was *found*, from however many files.

        Raises:
            DamagedError: Its index is damaged.
        """
        pieces = [self._reader(os.path.basename(each.path)).piece(each.record) for each in found]
        return SegmentSession(card_of_pieces(found, pieces), pieces)

    def paths_of(self, session_id: UUID) -> list[str]:
        """Return the files in which a session may go on: those that hold it, newest first, then those of its logs."""
        paths = [each.path for each in reversed(self.found().get(session_id.bytes, ()))]
        return paths + [log.store_path for log in self.logs() if log.session_id == session_id]

    def names_holding(self, session_id: UUID) -> list[str]:
        """
        Return the names of the files that hold something of a session, be it deleted.

        Raises:
            StorageError: A file is no store or damaged, and may hold it.
        """
        return [
            name
            for name in self.names()
            if any(record.session_id == session_id.bytes for record in self._records(name))
        ]

    def check(self, found: SessionsRead, passed: Callable[[int], None]) -> tuple[int, list[str]]:
        """
        Read every byte of every store file; return how many there were, and what is wrong.

        What *found* has shown to be sound is not decoded again; *passed* is
        told how many bytes are behind.
        """
        problems: list[str] = []
        bytes_read = 0
        for name in self.names():
            try:
                segment = self._reader(name).segment
                before, bytes_read = bytes_read, bytes_read + segment.size()
                sound, trusted = found.sound_in(segment.path, segment.file_id), found.trusted
                behind = partial(_behind, passed, before)
                problems.extend(segment_problems(segment, sound=sound, trusted=trusted, passed=behind))
            except StoreNotFoundError:
                continue
            except StorageError as error:
                problems.append(f"{name}: {error}")
        return bytes_read, problems

    # -- one file -----------------------------------------------------------------

    def _records(self, name: str) -> Sequence[Record]:
        path = self._directory + name
        try:
            with _told(path):
                found = os.lstat(path)
        except FileNotFoundError as error:
            raise StoreNotFoundError(path) from error
        identity = found.st_dev, found.st_ino
        listed = self._listed.get(name)
        if listed is not None and (listed.identity, listed.size) == (identity, found.st_size):
            return listed.records
        if listed is not None and listed.identity != identity:
            self.let_go(name)
        records = self._small_records(name, found.st_size)
        if records is None:
            records = self._reader(name).records()
        self._listed[name] = _Listed(identity, found.st_size, records)
        return records

    def _small_records(self, name: str, size: int) -> Sequence[Record] | None:
        path = self._directory + name
        if size > SMALL_BYTES or self._own.at(path) is not None or name in self._readers:
            return None
        return records_of_small(self._files, path)

    def _reader(self, name: str) -> FileStore:
        path = self._directory + name
        own = self._own.at(path)
        if own is not None:
            return own
        reader = self._readers.pop(name, None) or FileStore(path, read_only=True, files=self._files)
        # The least recently used goes first: many files must not use up the
        # descriptors of the process.
        self._readers[name] = reader
        while len(self._readers) > _MOST_READERS:
            self._readers.pop(next(iter(self._readers)))
        return reader

    # -- letting go ---------------------------------------------------------------

    def let_go(self, name: str) -> None:
        """Do not go on with what is open for reading of the file *name*: it is ours now, or another has its name."""
        self._readers.pop(name, None)

    def close(self) -> None:
        """Let go of the files; closing twice is fine.  Sessions that were read stay readable."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
