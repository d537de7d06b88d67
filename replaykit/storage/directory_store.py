"""
A store in a directory: each process writes a file of its own, all are listed as one.

Files of processes that are gone are taken over when one of their sessions is
recovered.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from operator import itemgetter
from uuid import UUID, uuid4

import attrs

from replaykit.errors import (
    ClosedError,
    LockedError,
    NotAStoreError,
    ReadOnlyError,
    SessionNotFoundError,
    StorageError,
    StoreNotFoundError,
)
from replaykit.format.catalog import Record
from replaykit.format.entries import Card, Part
from replaykit.model import Compaction, Depth, Verification
from replaykit.protocols import Advance, FileLayer
from replaykit.storage.checking import SessionsRead, read_sessions, segment_problems
from replaykit.storage.compaction import rewrite, silent
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.storage.guard import Guard
from replaykit.storage.log_files import FileLog, session_of_log
from replaykit.storage.merging import Found, card_of_pieces, merged
from replaykit.storage.options import StoreOptions
from replaykit.storage.quota import demand_room, is_full
from replaykit.storage.small_files import SMALL_BYTES, records_of_small
from replaykit.storage.stored_session import SegmentSession

__all__ = ["DirectoryStore"]

_SUFFIX = ".rpk"
_MEASURED_FOR_S = 1.0
_MOST_READERS = 64


@attrs.frozen
class _Listed:
    """What a file held when it was looked at."""

    identity: tuple[int, int]
    size: int
    records: Sequence[Record]


def _advance_behind(progress: Advance, size: int, offset: int) -> None:
    # Files may have grown since their sizes were added up.
    progress(size + min(offset, size), 2 * size)


def _behind(passed: Callable[[int], None], before: int, offset: int) -> None:
    passed(before + offset)


class DirectoryStore:
    """
    The store in the directory *path*, created (0700) where it is missing.

    *gitignore* puts a ``.gitignore`` into a new directory that keeps
    recordings out of a repository.  A new file is begun when the present one
    is larger or older than the *options* say, or takes no more writes.

    Raises:
        NotAStoreError: There is something that is no directory.
        StoreNotFoundError: *read_only*, and there is none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        read_only: bool = False,
        gitignore: bool = False,
        options: StoreOptions | None = None,
        files: FileLayer | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._location = os.fspath(path)
        self._directory = os.path.join(self._location, "")
        self._read_only = read_only
        self._options = options or StoreOptions()
        self._files = files or SystemFiles()
        self._clock = clock
        self._guard = Guard()
        self._closed = False
        self._own: FileStore | None = None
        self._begun_ns = 0
        self._measured_at = -math.inf
        self._total_bytes = 0
        self._writable: dict[str, FileStore] = {}
        # Which of our files a new session's log stands beside: asking the
        # directory would cost more the more sessions there are.
        self._owners: dict[UUID, FileStore] = {}
        self._readers: dict[str, FileStore] = {}
        self._listed: dict[str, _Listed] = {}
        self._prepare(gitignore)

    @property
    def location(self) -> str:
        """The path as the user gave it, for messages."""
        return self._location

    @property
    def options(self) -> StoreOptions:
        """How it keeps its files."""
        return self._options

    def is_full(self) -> bool:
        """Return whether it holds as much as its options allow."""
        return is_full(self)

    def total_bytes(self) -> int:
        """Return how many bytes the files of all processes hold, as of at most a second ago."""
        if time.monotonic() - self._measured_at >= _MEASURED_FOR_S:
            self._total_bytes = sum(self._sizes())
            self._measured_at = time.monotonic()
        return self._total_bytes

    def _sizes(self) -> Iterator[int]:
        with os.scandir(self._directory) as found:
            for entry in found:
                if entry.name.endswith((_SUFFIX, ".live")):
                    with suppress(FileNotFoundError):
                        yield entry.stat(follow_symlinks=False).st_size

    # -- live logs ----------------------------------------------------------------

    def create_log(self, session_id: UUID) -> FileLog:
        """
        Make the live log of a new (or resumed) session and be its writer.

        Only our own file is looked at: that no other process records a
        session which is resumed is for the caller to know.

        Raises:
            LockedError: The session has a log with a living writer.
            StoreFullError: The directory holds as much as it may.
            StorageError: It has one that is not recovered, or the disk refuses.
        """
        # A publishing thread holds the guard while it waits for the disk, and
        # whoever opens a session may be an event loop: the guard is taken
        # only to choose a file.
        own = self._own
        if own is None or self._closed or self._guard.forked or self._is_due(own):
            with self._guard.lock:
                self._demand_writable()
                own = self._own_file()
        demand_room(self)
        try:
            log = own.create_log(session_id)
        except ClosedError:
            # Another thread has begun a new file in between.
            with self._guard.lock:
                self._demand_writable()
                own = self._own_file()
                log = own.create_log(session_id)
        self._owners[session_id] = own
        return log

    def logs(self) -> Sequence[FileLog]:
        """Return the live logs in this directory, whoever writes them; each knows its store file."""
        # A recovery asks once it is done: what it removed makes room.
        self._measured_at = -math.inf
        logs = []
        for name in sorted(self._names()):
            parsed = session_of_log(name)
            if parsed is not None and parsed[0].endswith(_SUFFIX):
                logs.append(FileLog(self._files, self._directory + parsed[0], parsed[1]))
        return logs

    # -- writing ------------------------------------------------------------------

    def publish(self, part: Part) -> None:
        """
        Append a part to the file that owns its session, where that can be locked, else to our own.

        Raises:
            StorageError: It is not kept; the file is as it was.
            UsageError: An entry holds something that no recording can hold.
        """
        with self._guard.lock:
            self._demand_writable()
            session_id = part.opening.session_id
            owner = None if part.opening.resumed else self._owners.get(session_id)
            # It is closed if another thread began a new file just before the
            # session was known to be one of it.
            if owner is None or owner.is_poisoned or owner.is_closed:
                owner = self._file_for(session_id)
            owner.publish(part)
            if part.sealing is not None:
                self._owners.pop(session_id, None)
                if owner is not self._own:
                    self._close_past()

    def delete(self, session_id: UUID) -> None:
        """
        Delete a published session durably; other sessions are untouched.

        The deletion is written to our own file and hides what others hold.

        Raises:
            SessionNotFoundError: It is not published, or was deleted before.
        """
        with self._guard.lock:
            self._demand_writable()
            found = self._found().get(session_id.bytes)
            if found is None:
                raise SessionNotFoundError(session_id)
            self._own_file().hide(session_id, after_ns=max(each.record.published_ns for each in found))

    def erase(self, session_id: UUID) -> None:
        """
        Delete a session so that no byte of it stays in the directory's files.

        Raises:
            SessionNotFoundError: There is nothing of it.
            LockedError: Another process writes to a file that holds some of it.
        """
        with self._guard.lock:
            self._demand_writable()
            holding = [
                name
                for name in self._store_names()
                if any(record.session_id == session_id.bytes for record in self._records(name))
            ]
            if not holding:
                raise SessionNotFoundError(session_id)
            for store in [self._demand_ours(name) for name in holding]:
                rewrite(store, drop=frozenset((session_id.bytes,)), keep_tombs=True, erase=True)

    def compact(self, *, progress: Advance = silent) -> Compaction:
        """
        Rewrite each file that no other process writes to, with large blocks and without what was deleted.

        Raises:
            DamagedError: A file is damaged: recover it first.
            StorageError: There is no room for a rewritten file; those before it are done.
        """
        with self._guard.lock:
            self._demand_writable()
            names = self._store_names()
            done = []
            for number, name in enumerate(names):
                progress(number, len(names))
                store = self._ours(name)
                if store is not None:
                    done.append(rewrite(store, keep_tombs=True))
            progress(len(names), len(names))
        return Compaction(
            path=self._location,
            skipped=len(names) - len(done),
            sessions=sum(each.sessions for each in done),
            dropped=sum(each.dropped for each in done),
            bytes_before=sum(each.bytes_before for each in done),
            bytes_after=sum(each.bytes_after for each in done),
        )

    def _ours(self, name: str) -> FileStore | None:
        """Return the file *name* with its lock; None while another process has that."""
        path = self._directory + name
        store = self._writable.get(path)
        if store is not None:
            return store
        try:
            store = FileStore(path, options=self._options_of_files, files=self._files, clock=self._clock)
        except (LockedError, NotAStoreError):
            return None
        self._writable[path] = store
        self._readers.pop(name, None)
        return store

    def _demand_ours(self, name: str) -> FileStore:
        store = self._ours(name)
        if store is None:
            raise LockedError(self._directory + name)
        return store

    def _file_for(self, session_id: UUID) -> FileStore:
        paths = [each.path for each in reversed(self._found().get(session_id.bytes, ()))]
        paths += [log.store_path for log in self.logs() if log.session_id == session_id]
        for path in paths:
            store = self._writable.get(path) or self._take_over(path)
            if store is not None and not store.is_poisoned:
                return store
        return self._own_file()

    def _take_over(self, path: str) -> FileStore | None:
        """Become the writer of another process's file; None while it lives or where the file refuses."""
        if not os.path.exists(path):
            return None
        try:
            return self._ours(os.path.basename(path))
        except StorageError:
            return None

    @property
    def _options_of_files(self) -> StoreOptions:
        # The bound is on the whole directory, not on each file.
        return attrs.evolve(self._options, max_bytes=None)

    def _own_file(self) -> FileStore:
        if self._own is None or self._is_due(self._own):
            path = f"{self._directory}{uuid4().hex}{_SUFFIX}"
            self._own = FileStore(path, options=self._options_of_files, files=self._files, clock=self._clock)
            self._writable[path] = self._own
            self._begun_ns = self._clock()
            self._close_past()
        return self._own

    def _close_past(self) -> None:
        """Close files of ours that no session goes on in: each takes memory for every session that it holds."""
        if len(self._writable) < 2:
            return
        live = {log.session_id for log in self.logs()}
        self._owners = {session_id: store for session_id, store in self._owners.items() if session_id in live}
        kept = {id(self._own), *map(id, self._owners.values())}
        for path, store in list(self._writable.items()):
            if id(store) not in kept:
                del self._writable[path]
                # That its end could not be marked is no reason to refuse what comes now.
                with suppress(StorageError):
                    store.close()

    def _is_due(self, own: FileStore) -> bool:
        """Return whether new sessions belong into a new file."""
        seconds = self._options.rotate_seconds
        is_old = seconds is not None and self._clock() - self._begun_ns >= seconds * 1e9
        return is_old or own.is_poisoned or own.size() > self._options.rotate_bytes

    # -- reading ------------------------------------------------------------------

    def cards(self) -> Sequence[Card]:
        """Return one card per published session, in order of publishing; reads no action."""
        with self._guard.lock:
            self._demand_open()
            found = sorted(self._found().values(), key=itemgetter(-1))
            return [self._card(each) for each in found]

    def read(self, session_id: UUID) -> SegmentSession:
        """
        Return the published session, from however many files.

        Raises:
            SessionNotFoundError: Nothing of it is published, or it was deleted.
            DamagedError: Its index is damaged.
        """
        with self._guard.lock:
            self._demand_open()
            found = self._found().get(session_id.bytes)
            if found is None:
                raise SessionNotFoundError(session_id)
            return self._session(found)

    def problems(self) -> Sequence[str]:
        """
        Read every byte of every file and return what is wrong; empty when all is well.

        A file that is no store, though its name says so, is a problem too.
        """
        return self._check(SessionsRead(), lambda _offset: None)[1]

    def verify(self, *, depth: Depth = "full", progress: Advance = silent) -> Verification:
        """
        Read every byte, and unless *depth* is ``"bytes"`` every session.

        The result is true only if all of it is accounted for.
        """
        size = sum(map(self._size_of, self._store_names()))
        found = read_sessions(self, size=size, progress=progress, depth=depth)
        bytes_read, problems = self._check(found, partial(_advance_behind, progress, size))
        progress(2 * size, 2 * size)
        return found.verification(self.location, bytes_read, problems)

    def _check(self, found: SessionsRead, passed: Callable[[int], None]) -> tuple[int, list[str]]:
        problems: list[str] = []
        bytes_read = 0
        with self._guard.lock:
            self._demand_open()
            for name in self._store_names():
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

    def _size_of(self, name: str) -> int:
        try:
            return os.lstat(self._directory + name).st_size
        except FileNotFoundError:
            return 0

    def idle(self) -> None:
        """Nothing is written for now: say in our files that all of it was synced."""
        with self._guard.lock:
            for store in list(self._writable.values()):
                store.idle()

    def close(self) -> None:
        """Let go of files and locks; closing twice is fine.  Sessions that were read stay readable."""
        with self._guard.lock:
            self._closed = True
            for store in (*self._writable.values(), *self._readers.values()):
                store.close()
            self._writable.clear()
            self._owners.clear()
            self._readers.clear()
            self._own = None

    def _card(self, found: Sequence[Found]) -> Card:
        if len(found) == 1:
            return found[0].card
        return self._session(found).card

    def _session(self, found: Sequence[Found]) -> SegmentSession:
        pieces = [self._reader(os.path.basename(each.path)).piece(each.record) for each in found]
        return SegmentSession(card_of_pieces(found, pieces), pieces)

    def _found(self) -> dict[bytes, list[Found]]:
        """Return where each session is published, oldest first."""
        self._demand_open()
        listed: list[tuple[str, Sequence[Record]]] = []
        names = self._store_names()
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

    def _records(self, name: str) -> Sequence[Record]:
        path = self._directory + name
        try:
            found = os.lstat(path)
        except FileNotFoundError as error:
            raise StoreNotFoundError(path) from error
        identity = found.st_dev, found.st_ino
        listed = self._listed.get(name)
        if listed is not None and (listed.identity, listed.size) == (identity, found.st_size):
            return listed.records
        if listed is not None and listed.identity != identity:
            self._readers.pop(name, None)
        records = self._small_records(name, found.st_size)
        if records is None:
            records = self._reader(name).records()
        self._listed[name] = _Listed(identity, found.st_size, records)
        return records

    def _small_records(self, name: str, size: int) -> Sequence[Record] | None:
        path = self._directory + name
        if size > SMALL_BYTES or path in self._writable or name in self._readers:
            return None
        return records_of_small(self._files, path)

    def _reader(self, name: str) -> FileStore:
        store = self._writable.get(self._directory + name) or self._readers.pop(name, None)
        if store is None:
            store = FileStore(self._directory + name, read_only=True, files=self._files)
        if self._directory + name not in self._writable:
            # The least recently used goes first: many files must not use up
            # the descriptors of the process.
            self._readers[name] = store
            while len(self._readers) > _MOST_READERS:
                self._readers.pop(next(iter(self._readers)))
        return store

    def _store_names(self) -> list[str]:
        return sorted(name for name in self._names() if name.endswith(_SUFFIX))

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._directory)
        except FileNotFoundError:
            return []

    # -- opening ------------------------------------------------------------------

    def _prepare(self, gitignore: bool) -> None:
        if self._read_only:
            if not os.path.lexists(self._location):
                raise StoreNotFoundError(self._location)
        else:
            self._make(gitignore)
        if not os.path.isdir(self._directory):
            raise NotAStoreError(self._location, "it is a file, and a directory was asked for")

    def _make(self, gitignore: bool) -> None:
        path = self._directory.rstrip(os.sep) or os.sep
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            return
        except OSError as error:
            raise StorageError(f"Cannot create {path}: {error.strerror}", path=path) from error
        if gitignore:
            handle = self._files.open(self._directory + ".gitignore", write=True, create=True)
            try:
                self._files.append(handle, b"*\n")
            finally:
                os.close(handle)
        self._files.sync_directory(os.path.dirname(path))

    def _demand_open(self) -> None:
        if self._closed:
            raise ClosedError(f"{self._location} is closed")
        if self._guard.forked:
            for store in self._writable.values():
                store.abandon()
            self._writable.clear()
            self._owners.clear()
            self._own = None
            self._guard.adopt()

    def _demand_writable(self) -> None:
        self._demand_open()
        if self._read_only:
            raise ReadOnlyError(f"{self._location} is open for reading only")

    def __repr__(self) -> str:
        return f"<DirectoryStore {self._location}>"
