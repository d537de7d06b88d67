"""The files of a directory that this process writes to: a present one, and those before it in which sessions go on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from uuid import UUID, uuid4

import attrs

from replaykit.errors import LockedError, NotAStoreError, StorageError
from replaykit.protocols import FileLayer
from replaykit.storage.file_store import FileStore
from replaykit.storage.options import StoreOptions

__all__ = ["SUFFIX", "OwnFiles"]

SUFFIX = ".rpk"
"""How the names of a directory's store files end."""

_MOST_PAST = 8
"""So many past files stay open for the sessions that go on in them; the others are opened again for what is published.

Each takes two descriptors, and where files are begun often each long session has one of its own.
"""


class OwnFiles:
    """
    The files in *directory* that are open for writing here, each with its lock; ``len()`` says how many.

    *directory* ends in a slash.  New sessions belong into the present file,
    which `ready` and `begin` return; one that began in an earlier file, its
    owner, goes on there.  How old a file is *age_clock* says, which nobody
    sets.  Whoever calls holds the guard of the store, but for `ready` and
    `note_owner`.
    """

    def __init__(
        self,
        directory: str,
        *,
        options: StoreOptions,
        files: FileLayer,
        clock: Callable[[], int],
        age_clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._directory = directory
        # The bound is on the whole directory, not on each file.
        self._options = attrs.evolve(options, max_bytes=None)
        self._files = files
        self._clock = clock
        self._age_clock = age_clock
        self._present: FileStore | None = None
        self._begun_ns = 0
        self._open: dict[str, FileStore] = {}
        # Which of our files a new session's log stands beside: asking the
        # directory would cost more the more sessions there are.
        self._owners: dict[UUID, FileStore] = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def are_many(self) -> bool:
        """Whether more are open than `close_past` leaves."""
        return len(self._open) > _MOST_PAST + 1

    # -- the present file ---------------------------------------------------------

    def ready(self) -> FileStore | None:
        """
        Return the present file; None where a new one is to be begun.

        Without the guard, another thread may close it at any time.
        """
        present = self._present
        if present is None:
            return None
        seconds = self._options.rotate_seconds
        is_old = seconds is not None and self._age_clock() - self._begun_ns >= seconds * 1e9
        is_due = is_old or present.is_poisoned or present.size() > self._options.rotate_bytes
        return None if is_due else present

    def is_present(self, file: FileStore) -> bool:
        """Return whether *file* was begun last, due or not."""
        return file is self._present

    def begin(self) -> FileStore:
        """
        Begin a new file, the present one from now on.

        Raises:
            StorageError: The disk refuses; all is as it was.
        """
        path = f"{self._directory}{uuid4().hex}{SUFFIX}"
        self._present = self._open[path] = self._opened(path)
        self._begun_ns = self._age_clock()
        return self._present

    def leave(self, file: FileStore) -> None:
        """Have a new file begun next, if *file* is still the present one."""
        if self._present is file:
            self._present = None

    # -- owners -------------------------------------------------------------------

    def note_owner(self, session_id: UUID, file: FileStore) -> None:
        """Know that the session's log stands beside *file*."""
        self._owners[session_id] = file

    def owner_of(self, session_id: UUID) -> FileStore | None:
        """Return the file that the session's log stands beside; None where it is not known or takes no more writes."""
        owner = self._owners.get(session_id)
        # It is closed if another thread began a new file just before the
        # session was known to be one of it.
        if owner is None or owner.is_poisoned or owner.is_closed:
            return None
        return owner

    def forget_owner(self, session_id: UUID) -> None:
        """The session is over; nothing happens where its owner is not known."""
        self._owners.pop(session_id, None)

    # -- any file of the directory ------------------------------------------------

    def at(self, path: str) -> FileStore | None:
        """Return the file at *path* if it is open here."""
        return self._open.get(path)

    def take(self, path: str) -> FileStore | None:
        """
        Return the file at *path* with its lock; None while another process has that, or where it is no store.

        Raises:
            StorageError: It is damaged, or the disk refuses.
        """
        file = self._open.get(path)
        if file is not None:
            return file
        try:
            file = self._opened(path)
        except (LockedError, NotAStoreError):
            return None
        self._open[path] = file
        return file

    def first_of(self, paths: Iterable[str]) -> FileStore | None:
        """Return the first file that is ours or whose process is gone, and that takes writes; None where none does."""
        for path in paths:
            file = self._open.get(path) or self._take_over(path)
            if file is not None and not file.is_poisoned:
                return file
        return None

    def _take_over(self, path: str) -> FileStore | None:
        """Become the writer of another process's file; None while it lives or where the file refuses."""
        if not os.path.exists(path):
            return None
        try:
            return self.take(path)
        except StorageError:
            return None

    def _opened(self, path: str) -> FileStore:
        return FileStore(path, options=self._options, files=self._files, clock=self._clock)

    # -- letting go ---------------------------------------------------------------

    def idle(self) -> None:
        """Nothing is written for now: say in each file that all of it was synced."""
        for file in list(self._open.values()):
            file.idle()

    def close_past(self, live: Container[UUID]) -> None:
        """
        Close all but the present file and a few owners of *live* sessions, those that were opened last.

        Each takes memory for all that it holds, and descriptors.
        """
        # Sessions begin meanwhile, without the guard: all are named before one is looked at.
        for session_id in list(self._owners):
            owner = self._owners.get(session_id)
            # One that takes no more writes stays known: opened again it would seem to be well.
            if session_id not in live or owner is None or owner.is_closed:
                self.forget_owner(session_id)
        owners = {*map(id, list(self._owners.values()))} - {id(self._present)}
        past = [path for path, file in self._open.items() if id(file) in owners]
        kept = past[-_MOST_PAST:]
        for path, file in list(self._open.items()):
            if path not in kept and file is not self._present:
                del self._open[path]
                # That its end could not be marked is no reason to refuse what comes now.
                with suppress(StorageError):
                    file.close()

    def abandon(self) -> None:
        """Forget all files without a word to them: for a forked child; the parent keeps its locks."""
        for file in self._open.values():
            file.abandon()
        self._forget_all()

    def close(self) -> None:
        """Close all files; closing twice is fine."""
        for file in list(self._open.values()):
            file.close()
        self._forget_all()

    def _forget_all(self) -> None:
        self._open.clear()
        self._owners.clear()
        self._present = None
