"""The store of one recorder: opened on first use, kept while somebody needs it, given back in between."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Callable, Sequence
from uuid import UUID

import attrs

from replaykit.digests import content_hash
from replaykit.errors import ClosedError, StorageError, StoreFullError
from replaykit.model import FrameId, ReplaySession
from replaykit.protocols import Log, Store
from replaykit.recording.background import Background, background_of
from replaykit.settings import Settings, absolute_store, is_disabled
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.database import MEMORY
from replaykit.storage.opening import open_store
from replaykit.storage.options import StoreOptions
from replaykit.storage.secret_key import has_hashes, keyed_hasher

__all__ = ["StoreLease"]


class StoreLease:
    """
    What one recorder holds of the store at *location*.

    ``with lease:`` keeps the store as it is found, open or not: `give_back`
    closes it for nobody who is inside.  May be used from any thread.

    Attributes:
        place: The location, absolute.
        opened: The store while it is open.
        is_closed: Whether it is let go of for good.
        has_worked: Whether the store could be written before.
        on_opening: Called each time that the store was opened.
    """

    def __init__(
        self,
        location: str | os.PathLike[str],
        settings: Settings,
        *,
        read_only: bool,
        frames_at: Callable[[int], Sequence[FrameId]] | None,
    ) -> None:
        # Fixed now: the program may go to another folder before the store is opened, and after.
        self.place = absolute_store(location)
        self.opened: Store | None = None
        self.is_closed = False
        self.has_worked = False
        self.on_opening: Callable[[], None] | None = None
        self._settings = settings
        self._is_read_only = read_only
        self._frames_at = frames_at
        self._opening = threading.RLock()
        self._using = threading.RLock()
        self._users = 0
        self._hasher: Callable[[bytes], bytes] | None = None
        self._needs_secret = False

    def __enter__(self) -> StoreLease:
        with self._using:
            self._users += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._using:
            # In a child that was forked inside nobody is.
            self._users = max(0, self._users - 1)

    # -- the store ------------------------------------------------------------------

    def demand_open(self) -> None:
        """
        Return unless this is let go of for good.

        Raises:
            ClosedError: It is.
        """
        if self.is_closed:
            raise ClosedError("This recorder is closed. Make a new one.")

    @property
    def store(self) -> Store:
        """
        The open store; opened on first use, and what a crash left behind is recovered soon.

        Raises:
            StorageError: It cannot be opened.
            ClosedError: The recorder was closed.
        """
        self.demand_open()
        store = self.opened
        return self._open() if store is None else store

    def _open(self) -> Store:
        with self._opening:
            if self.opened is None:
                store = open_store(self.place, read_only=self._is_read_only, options=_options_of(self._settings))
                if not self._is_read_only:
                    background_of(store).recover_soon()
                self.opened = store
                if self.on_opening is not None:
                    self.on_opening()
            return self.opened

    @property
    def background(self) -> Background:
        """The store's background."""
        return background_of(self.store)

    @property
    def background_if_open(self) -> Background | None:
        """The same, None where the store is not open: nothing is to be done then."""
        store = self.opened
        return None if store is None else background_of(store)

    @property
    def catalogue(self) -> Catalogue:
        """The store's sessions; reading waits for what a crash left, and for ended ones, to be published."""
        return Catalogue(self.store, settle=self.background.drain, frames_at=self._frames_at)

    def read_again(self, session_id: UUID) -> ReplaySession:
        """
        Read a session although this is let go of.

        Raises:
            StorageError: The store cannot be opened.
        """
        store = open_store(self.place, read_only=True)
        try:
            found = Catalogue(store, frames_at=self._frames_at).get_session(session_id)
            return attrs.evolve(found, actions=tuple(found.actions))
        finally:
            store.close()

    @property
    def hasher(self) -> Callable[[bytes], bytes]:
        """Plain BLAKE3, or keyed with the store's secret when nothing but hashes is kept."""
        if self._settings.capture != "hash":
            return content_hash
        if self._hasher is None:
            with self._opening:
                # Again: the secret of a store in RAM is another one each time.
                if self._hasher is None:
                    self._hasher = keyed_hasher(self.store.location, is_used=self._has_hashes)
        return self._hasher

    def _has_hashes(self) -> bool:
        # Once it has some it has some: not to be looked for in each call that is lost.
        self._needs_secret = self._needs_secret or has_hashes(self.store)
        return self._needs_secret

    # -- writing --------------------------------------------------------------------

    def demand_writable(self) -> None:
        """
        Return if a session could be recorded now, or recording is switched off, or the store is full.

        Raises:
            StorageError: The store cannot be opened or written.
        """
        if is_disabled():
            return
        with self, contextlib.suppress(StoreFullError):
            # To open a directory that is there takes no more than reading it.
            self.new_log(uuid.uuid4()).remove()
        self.has_worked = True

    def first_log(self, session_id: UUID) -> Log:
        """
        Return the live log of a session that begins: it has an id of its own where one lies ready.

        Raises:
            StorageError: The store cannot be written.
        """
        # Where some sessions are recorded and others not, their ids decide.
        ready = self.background.take_log() if self._settings.recorded_share == 1 else None
        return ready or self.new_log(session_id)

    def new_log(self, session_id: UUID) -> Log:
        """
        Return the live log, in the store, of a session that begins or goes on.

        Raises:
            StorageError: The store cannot be written.
        """
        store, is_recovered = self.store, self.background.is_recovered
        try:
            return store.create_log(session_id)
        except StorageError:
            if is_recovered:
                raise
            # What a crash left takes less room once it is published.
            self.background.drain()
            return store.create_log(session_id)

    # -- letting go -------------------------------------------------------------------

    def give_back(self, is_needed: Callable[[], bool]) -> bool:
        """
        Let go of the store until it is used again; return whether.

        Not while somebody is inside, or one *is_needed*, or anything is still to be published.
        """
        with self._using:
            if self._users or is_needed():
                return False
            background = self.background_if_open
            if background is not None and not background.release():
                return False
            self.opened = None
            return True

    def close(self) -> None:
        """
        Publish what has ended and let go of the store for good; closing twice is fine.

        Raises:
            StorageError: What a crash left cannot be recovered now; it stays for the next opening.
        """
        try:
            if self.opened is not None and not self.is_closed:
                _publish_and_close(self.opened)
        finally:
            self.opened = None
            self.is_closed = True

    def forked(self) -> None:
        """Forget what the parent's threads hold: this is its child."""
        self._opening = threading.RLock()
        self._using = threading.RLock()
        self._users = 0
        if self.opened is None:
            return
        background_of(self.opened).forked()
        if not self.place.endswith(("/", os.sep)) and not os.path.isdir(self.place):
            # A file store is the parent's: its lock must be asked for anew.
            self.opened = None
            self.has_worked = False

    @property
    def is_in_ram(self) -> bool:
        """Whether the store is there only while it is open."""
        return self.place == MEMORY


def _publish_and_close(store: Store) -> None:
    background = background_of(store)
    try:
        background.publish_all()
    finally:
        # Whoever opens it next in this process needs its lock, and those of the logs that stay.
        try:
            store.close()
        finally:
            background.give_up()


def _options_of(settings: Settings) -> StoreOptions:
    defaults = StoreOptions()
    return StoreOptions(
        align=settings.align,
        rotate_bytes=settings.rotate_bytes or defaults.rotate_bytes,
        rotate_seconds=settings.rotate_seconds,
        max_bytes=settings.max_store_bytes,
    )
