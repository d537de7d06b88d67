"""
A store in a directory: each process writes a file of its own, all are listed as one.

Files of processes that are gone are taken over when one of their sessions is
recovered.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from uuid import UUID

from replaykit.errors import (
    ClosedError,
    LockedError,
    NotAStoreError,
    ReadOnlyError,
    SessionNotFoundError,
    StorageError,
    StoreNotFoundError,
)
from replaykit.format.entries import Card, Part
from replaykit.model import Compaction, Depth, Verification
from replaykit.protocols import Advance, FileLayer
from replaykit.storage.beginning import begin_directory
from replaykit.storage.checking import SessionsRead, read_sessions
from replaykit.storage.compaction import rewrite, silent
from replaykit.storage.directory_files import DirectoryFiles
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.storage.guard import Guard
from replaykit.storage.log_files import FileLog
from replaykit.storage.options import StoreOptions
from replaykit.storage.own_files import OwnFiles
from replaykit.storage.quota import demand_room, is_full
from replaykit.storage.stored_session import SegmentSession

__all__ = ["DirectoryStore"]


def _advance_behind(progress: Advance, size: int, offset: int) -> None:
    # Files may have grown since their sizes were added up.
    progress(size + min(offset, size), 2 * size)


class DirectoryStore:
    """
    The store in the directory *path*, created (0700) where it is missing.

    *gitignore* puts a ``.gitignore`` into a new directory that keeps
    recordings out of a repository.  A new file is begun when the present one
    is larger or older than the *options* say, or takes no more writes; its age
    is told by *age_clock*, in nanoseconds, which is never set.  A directory that
    is taken away meanwhile is made again.

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
        age_clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._location = os.fspath(path)
        self._directory = os.path.join(self._location, "")
        self._read_only = read_only
        self._options = options or StoreOptions()
        self._files = files or SystemFiles()
        self._guard = Guard()
        self._closed = False
        self._own = OwnFiles(
            self._directory, options=self._options, files=self._files, clock=clock, age_clock=age_clock
        )
        self._all = DirectoryFiles(self._directory, own=self._own, files=self._files)
        self._gitignore = gitignore
        self._prepare()

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
        return self._all.total_bytes()

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
        file = None if self._closed or self._guard.forked else own.ready()
        if file is None:
            with self._guard.lock:
                self._demand_writable()
                file = self._present_file()
        demand_room(self)
        try:
            log = file.create_log(session_id)
        except ClosedError:
            # Another thread has begun a new file in between.
            file, log = self._log_in_present_file(session_id)
        except StorageError:
            if os.path.lexists(self._directory):
                raise
            # Renamed or removed, as somebody does who wants a new one.
            own.leave(file)
            file, log = self._log_in_present_file(session_id)
        own.note_owner(session_id, file)
        return log

    def _log_in_present_file(self, session_id: UUID) -> tuple[FileStore, FileLog]:
        with self._guard.lock:
            self._demand_writable()
            file = self._present_file()
            return file, file.create_log(session_id)

    def logs(self) -> Sequence[FileLog]:
        """Return the live logs in this directory, whoever writes them; each knows its store file."""
        return self._all.logs()

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
            owner = None if part.opening.resumed else self._own.owner_of(session_id)
            if owner is None:
                owner = self._file_for(session_id)
                self._own.note_owner(session_id, owner)
            owner.publish(part)
            is_over = part.sealing is not None
            if is_over:
                self._own.forget_owner(session_id)
            if self._own.are_many or (is_over and not self._own.is_present(owner)):
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
            found = self._all.found().get(session_id.bytes)
            if found is None:
                raise SessionNotFoundError(session_id)
            self._present_file().hide(session_id, after_ns=max(each.record.published_ns for each in found))

    def erase(self, session_id: UUID) -> None:
        """
        Delete a session so that no byte of it stays in the directory's files.

        Raises:
            SessionNotFoundError: There is nothing of it.
            LockedError: Another process writes to a file that holds some of it.
        """
        with self._guard.lock:
            self._demand_writable()
            holding = self._all.names_holding(session_id)
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
            names = self._all.names()
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

    def _present_file(self) -> FileStore:
        file = self._own.ready()
        if file is None:
            begin_directory(self._files, self._directory, gitignore=self._gitignore)
            file = self._own.begin()
            self._close_past()
        return file

    def _close_past(self) -> None:
        if len(self._own) > 1:
            self._own.close_past({log.session_id for log in self.logs()})

    def _file_for(self, session_id: UUID) -> FileStore:
        file = self._own.first_of(self._all.paths_of(session_id))
        if file is None:
            return self._present_file()
        self._all.let_go(os.path.basename(file.location))
        return file

    def _ours(self, name: str) -> FileStore | None:
        """Return the file *name* with its lock; None while another process has that."""
        file = self._own.take(self._directory + name)
        if file is not None:
            self._all.let_go(name)
        return file

    def _demand_ours(self, name: str) -> FileStore:
        file = self._ours(name)
        if file is None:
            raise LockedError(self._directory + name)
        return file

    # -- reading ------------------------------------------------------------------

    def cards(self) -> Sequence[Card]:
        """Return one card per published session, in order of publishing; reads no action."""
        with self._guard.lock:
            self._demand_open()
            found = sorted(self._all.found().values(), key=itemgetter(-1))
            return [self._all.card(each) for each in found]

    def read(self, session_id: UUID) -> SegmentSession:
        """
        Return the published session, from however many files.

        Raises:
            SessionNotFoundError: Nothing of it is published, or it was deleted.
            DamagedError: Its index is damaged.
        """
        with self._guard.lock:
            self._demand_open()
            found = self._all.found().get(session_id.bytes)
            if found is None:
                raise SessionNotFoundError(session_id)
            return self._all.session(found)

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
        size = self._all.store_bytes()
        found = read_sessions(self, size=size, progress=progress, depth=depth)
        bytes_read, problems = self._check(found, partial(_advance_behind, progress, size))
        progress(2 * size, 2 * size)
        return found.verification(self.location, bytes_read, problems)

    def _check(self, found: SessionsRead, passed: Callable[[int], None]) -> tuple[int, list[str]]:
        with self._guard.lock:
            self._demand_open()
            return self._all.check(found, passed)

    def idle(self) -> None:
        """Nothing is written for now: say in our files that all of it was synced."""
        with self._guard.lock:
            self._own.idle()

    def close(self) -> None:
        """Let go of files and locks; closing twice is fine.  Sessions that were read stay readable."""
        with self._guard.lock:
            self._closed = True
            self._own.close()
            self._all.close()

    # -- opening ------------------------------------------------------------------

    def _prepare(self) -> None:
        if self._read_only:
            if not os.path.lexists(self._location):
                raise StoreNotFoundError(self._location)
        else:
            begin_directory(self._files, self._directory, gitignore=self._gitignore)
        if not os.path.isdir(self._directory):
            raise NotAStoreError(self._location, "it is a file, and a directory was asked for")

    def _demand_open(self) -> None:
        if self._closed:
            raise ClosedError(f"{self._location} is closed")
        if self._guard.forked:
            self._own.abandon()
            self._guard.adopt()

    def _demand_writable(self) -> None:
        self._demand_open()
        if self._read_only:
            raise ReadOnlyError(f"{self._location} is open for reading only")

    def __repr__(self) -> str:
        return f"<DirectoryStore {self._location}>"
