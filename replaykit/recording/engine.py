"""
The sessions of one recorder: who is open here, how they start and how they end.

What users hold (`Recorder`, `Memory`, a wrapped object) is a face on this.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs

from replaykit.digests import content_hash
from replaykit.errors import (
    ClosedError,
    NoActiveSessionError,
    ReadOnlyError,
    SessionActiveError,
    StorageError,
    StoreFullError,
    UsageError,
)
from replaykit.format.entries import Card, Opening
from replaykit.intercept import scope
from replaykit.intercept.scope import CURRENT, Scope
from replaykit.model import ACCOUNT, MEMVID, FrameId, ReplayConfig, ReplaySession
from replaykit.policies import any_of
from replaykit.protocols import Clock, Log, StateSource, Store
from replaykit.recording.background import Background, background_of
from replaykit.recording.choosing import is_sampled as is_in_share
from replaykit.recording.keeping import Held
from replaykit.recording.metadata import clean_name, metadata_of_user
from replaykit.recording.ring import Ring
from replaykit.recording.session import ActiveSession, Unrecorded
from replaykit.recording.troubles import Troubles
from replaykit.redactors import make_redactor
from replaykit.settings import Settings, absolute_store, is_disabled, policy_of
from replaykit.storage.catalogue import Catalogue, Which
from replaykit.storage.database import MEMORY
from replaykit.storage.log_files import MemoryLog
from replaykit.storage.opening import open_store
from replaykit.storage.options import StoreOptions
from replaykit.storage.recovery import recover_session
from replaykit.storage.secret_key import has_hashes, keyed_hasher

__all__ = ["RecordingEngine"]


_NO_CONFIG = ReplayConfig()
_HANDING_OVER_SECONDS = 1.0
_NAP_SECONDS = 0.001


class RecordingEngine:
    """
    Opens, ends and finds the sessions of one recorder.

    The store is opened when the first session starts or the first listing is
    asked for.  *identity* is what calls are bound to: the user's object.  Without
    *loads_rules* the rules of redaction, too, are loaded with the first session.
    """

    def __init__(
        self,
        location: str | os.PathLike[str],
        settings: Settings,
        *,
        state_source: StateSource | None = None,
        frames_at: Callable[[int], Sequence[FrameId]] | None = None,
        stores_ids: bool = True,
        read_only: bool = False,
        loads_rules: bool = True,
        clock: Clock = time,
    ) -> None:
        self.location = os.fspath(location)
        # Fixed now: the program may go to another folder before the store is opened, and after.
        self.place = absolute_store(location)
        self.settings = settings
        self.clock = clock
        self.state_source = state_source
        self.stores_ids = stores_ids
        self.is_read_only = read_only
        self.redactor = make_redactor(settings.redact)
        if loads_rules:
            # Now rather than in the first call, which may stand on an event loop.
            self.redactor.prepare()
        self.identity: Any = self
        self.unsampled = 0
        self.unkept = 0
        self.troubles = Troubles(settings.on_loss)
        self._frames_at = frames_at
        self._store: Store | None = None
        self._is_closed = False
        self._opening = threading.RLock()
        self._open: dict[UUID, ActiveSession] = {}
        self._started: ActiveSession | None = None
        self._hasher: Callable[[bytes], bytes] | None = None
        self._needs_secret = False
        self._held = Held(self)
        self._using = threading.RLock()
        self._users = 0
        self._has_worked = False
        self.on_opening: Callable[[], None] | None = None
        scope.on_fork(self._forked)

    # -- the store --------------------------------------------------------------

    @property
    def store(self) -> Store:
        """
        The open store; opened on first use, and what a crash left behind is recovered soon.

        Raises:
            StorageError: It cannot be opened.
            ClosedError: The recorder was closed.
        """
        if self._is_closed:
            raise ClosedError("This recorder is closed. Make a new one.")
        if self._store is None:
            with self._opening:
                if self._store is None:
                    store = open_store(self.place, read_only=self.is_read_only, options=_options_of(self.settings))
                    if not self.is_read_only:
                        background_of(store).recover_soon()
                    self._store = store
                    if self.on_opening is not None:
                        self.on_opening()
        return self._store

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        """Keep the store open, or closed, as it is found: it is not given back meanwhile."""
        with self._using:
            self._users += 1
        try:
            yield
        finally:
            with self._using:
                self._users -= 1

    def rest(self, *, waits: bool = False) -> bool:
        """
        Let go of the store, which the next session opens again; False where it is in use, or only there while open.

        A store is in use that has an open session, or one that is not
        published yet, which is done now if the caller *waits*.
        """
        store = self._store
        if self.location == MEMORY or self._open:
            return False
        if waits and store is not None:
            background_of(store).drain()
        with self._using:
            if self._users or self._open:
                return False
            store = self._store
            if store is not None and not background_of(store).release():
                return False
            self._store = None
        self._held.close()
        return True

    @property
    def is_closed(self) -> bool:
        """Whether it takes no session any more."""
        return self._is_closed

    def demand_writable(self) -> None:
        """
        Return if a session could be recorded now, or recording is switched off, or the store is full.

        Raises:
            StorageError: The store cannot be opened or written.
        """
        if is_disabled():
            return
        with self._in_use(), contextlib.suppress(StoreFullError):
            # To open a directory that is there takes no more than reading it.
            self.new_log(uuid.uuid4()).remove()
        self._has_worked = True

    @property
    def background(self) -> Background:
        """The store's background."""
        return background_of(self.store)

    @property
    def catalogue(self) -> Catalogue:
        """The store's sessions; reading waits for what a crash left, and for ended ones, to be published."""
        return Catalogue(self.store, settle=self.background.drain, frames_at=self._frames_at)

    @property
    def hasher(self) -> Callable[[bytes], bytes]:
        """Plain BLAKE3, or keyed with the store's secret when nothing but hashes is kept."""
        if self.settings.capture != "hash":
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

    # -- sessions ---------------------------------------------------------------

    def active(self) -> ActiveSession | None:
        """Return the open session that a call of this recorder in this context would belong to, else None."""
        link = CURRENT.get()
        while link is not None:
            session = link.session
            if isinstance(session, ActiveSession) and session.engine is self and session.is_open:
                return session
            link = link.outer
        if self._started is not None and self._started.is_open:
            return self._started
        adopting = [session for session in self.open_sessions() if session.adopts]
        return adopting[0] if len(adopting) == 1 else None

    def start(self, name: str | None, config: ReplayConfig | None, **options: Any) -> ActiveSession:
        """
        Open a session that lasts until `end_started`, and put this context into it.

        Raises:
            SessionActiveError: This recorder has an open session.
        """
        if any(not session.is_ambient for session in self.open_sessions()):
            raise SessionActiveError
        session: Any = self.open(name, config=config, adopts=True, **options)
        try:
            self._begin(session)
        except BaseException:
            self._give_up(session)
            raise
        return session  # type: ignore[no-any-return]  # open() without `may_skip` gives a session

    def open(
        self,
        name: str | None = None,
        *,
        config: ReplayConfig | None = None,
        auto_checkpoint: Any = None,
        metadata: Mapping[str, Any] | None = None,
        adopts: bool = False,
        is_ambient: bool = False,
        may_skip: bool = False,
        while_playing: bool = False,
        parent_session: UUID | None = None,
    ) -> ActiveSession | Unrecorded:
        """
        Open a session; the caller puts it into a context.

        An ambient one stands for the whole process: it is in no context, and
        every other session is its child.  Inside a play nothing is kept but
        with *while_playing*.

        With *may_skip* an `Unrecorded` comes back where recording is disabled,
        and where a store that worked before takes no more (a full disk): a
        service's requests go on, unrecorded, with one warning.

        Raises:
            SessionActiveError: This context is already in a session of this recorder.
            UsageError: A setting is wrong.
            StorageError: The store cannot be written.
        """
        with self._in_use():
            return self._open_now(
                name, config, auto_checkpoint, metadata, adopts=adopts, is_ambient=is_ambient, may_skip=may_skip,
                while_playing=while_playing, parent_session=parent_session,
            )  # fmt: skip

    def _open_now(
        self,
        name: str | None,
        config: ReplayConfig | None,
        auto_checkpoint: Any,
        metadata: Mapping[str, Any] | None,
        *,
        adopts: bool,
        is_ambient: bool,
        may_skip: bool,
        while_playing: bool,
        parent_session: UUID | None,
    ) -> ActiveSession | Unrecorded:
        if self._is_closed:
            raise ClosedError("This recorder is closed. Make a new one.")
        session_id = uuid.uuid4()
        share = float(self.settings.recorded_share)
        is_sampled, is_off = is_in_share(session_id, share), is_disabled()
        if may_skip and (is_off or not (is_sampled or self.settings.keep == "on_failure")):
            self.unsampled += not is_sampled
            return Unrecorded(self.identity)
        if self.is_read_only:
            raise ReadOnlyError(f"{self.location} is open for reading: open it for writing to record, or give a store=")
        outer = self._enclosing()
        if outer is not None and not outer.is_ambient:
            raise SessionActiveError
        redactor = self.redactor.with_own_counts()
        known = metadata_of_user({**self.settings.metadata, **(metadata or {})}, redactor)
        is_chosen = may_skip or self.settings.keep == "on_failure"
        if is_chosen and share not in (0.0, 1.0):
            known = {**known, ACCOUNT: {"sample_rate": share}}
        surrounding = outer or (None if is_ambient else scope.ambient_session())
        parent = parent_session if surrounding is None else surrounding.session_id
        opening = self._opening_of(session_id, clean_name(name, redactor), known, parent)
        # Not that it is open: whoever lists a directory opens it, and that it can be written nobody knows by then.
        worked_before = self._has_worked
        try:
            session = self._opened(
                opening, config, auto_checkpoint,
                holds=self.settings.keep == "on_failure" and not is_sampled,
                is_silent=is_off or (scope.is_playing() and not while_playing),
                redactor=redactor, adopts=adopts, is_ambient=is_ambient,
            )  # fmt: skip
        except StorageError as error:
            if not (may_skip and self._may_go_on_after(error, worked_before=worked_before)):
                raise
            self.troubles.report_skipped(error)
            return Unrecorded(self.identity)
        self._has_worked = True
        return session

    def _may_go_on_after(self, error: StorageError, *, worked_before: bool) -> bool:
        """Return whether a block runs unrecorded whose session could not be opened."""
        # That the store may hold no more is known from the start, and no
        # reason to stop a service.
        is_expected = worked_before or isinstance(error, StoreFullError)
        return is_expected and self.settings.on_loss != "raise"

    def _opening_of(
        self, session_id: UUID, name: str | None, metadata: Mapping[str, Any], parent_session: UUID | None
    ) -> Opening:
        """Return how a session begins now; *name* and *metadata* are redacted."""
        return Opening(
            session_id=session_id,
            name=name,
            created_ns=self.clock.time_ns(),
            metadata=metadata,
            redaction=self.redactor.version,
            capture=self.settings.capture,
            parent_session=parent_session,
            start_generation=self._generation(),
            memory_id=self._memory_id(),
        )

    def _enclosing(self) -> ActiveSession | None:
        link = CURRENT.get()
        while link is not None:
            session = link.session
            if isinstance(session, ActiveSession) and session.engine is self and session.is_open:
                return session
            link = link.outer
        return None

    def _generation(self) -> int | None:
        generation = getattr(self.state_source, "generation", None)
        return generation if isinstance(generation, int) else None

    def _memory_id(self) -> uuid.UUID | None:
        memory_id = getattr(self.state_source, "memory_id", None)
        return memory_id if isinstance(memory_id, uuid.UUID) else None

    def _opened(
        self,
        opening: Opening,
        config: ReplayConfig | None,
        auto_checkpoint: Any,
        *,
        holds: bool,
        is_silent: bool,
        **options: Any,
    ) -> ActiveSession:
        config = config or self.settings.config or _NO_CONFIG
        if not isinstance(config, ReplayConfig):
            raise UsageError(f"config= is a ReplayConfig, not {type(config).__name__}")
        policies = [
            policy
            for asked in (auto_checkpoint, config, self.settings.auto_checkpoint)
            if (policy := policy_of(asked)) is not None
        ]
        self.redactor.prepare()
        live: Log = MemoryLog(opening.session_id)
        if not is_silent:
            live = self._held.new_ring(opening.session_id) if holds else self._first_log(opening.session_id)
            opening = attrs.evolve(opening, session_id=live.session_id)
        policy = None if not policies else policies[0] if len(policies) == 1 else any_of(*policies)
        try:
            session = ActiveSession(
                self, live, opening, policy=policy, max_actions=config.max_actions_per_session, **options
            )
        except BaseException:
            # Its first record does not fit, or an interrupt came: nothing of
            # it is worth a recovery.
            with contextlib.suppress(OSError):
                live.remove()
            raise
        if is_silent:
            session.silence()
        try:
            self._enter(session)
        except BaseException:
            self._give_up(session)
            raise
        return session

    def _enter(self, session: ActiveSession, card: Card | None = None) -> None:
        """Have *session* taken care of and known as open."""
        self._open[session.session_id] = session
        if isinstance(session.live, Ring):
            self._held.hold(session, session.live)
        elif not session.is_silent:
            self.background.watch(session, card)
        scope.opened(session)

    def _first_log(self, session_id: UUID) -> Log:
        """Return the live log of a session that begins: it has an id of its own where one lies ready."""
        # Where some sessions are recorded and others not, their ids decide.
        ready = self.background.take_log() if self.settings.recorded_share == 1 else None
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

    def open_sessions(self) -> Sequence[ActiveSession]:
        """Return the sessions of this recorder that are open now."""
        return [session for session in list(self._open.values()) if session.is_open]

    def resume(self, which: Which) -> ActiveSession:
        """
        Open a session again that was interrupted; its sequences go on.

        Raises:
            SessionNotFoundError: There is none.
            SessionActiveError: A session of this recorder is open.
            UsageError: It was ended properly, another process writes it, or memvid recorded it.
            StorageError: What is in its live log is being published by another process.
        """
        with self._in_use():
            return self._resumed(which)

    def _resumed(self, which: Which) -> ActiveSession:
        if self._enclosing() is not None or (self._started is not None and self._started.is_open):
            raise SessionActiveError
        stored = self.catalogue.get_session(which)
        if stored.state == "sealed":
            raise UsageError(f"session {stored.session_id} was ended; only an interrupted one can be resumed")
        if stored.state == "open":
            raise UsageError(f"session {stored.session_id} is being recorded by another process")
        if stored.capture == MEMVID:
            raise UsageError(f"session {stored.session_id} was recorded by memvid; it cannot go on here")
        if not recover_session(self.store, stored.session_id):
            raise UsageError(f"session {stored.session_id} is being recorded by another process")
        card = self.store.read(stored.session_id).card
        opening = Opening(
            session_id=stored.session_id,
            name=stored.name,
            created_ns=stored.created_ns,
            metadata=dict(card.metadata),
            redaction=self.redactor.version,
            capture=self.settings.capture,
            parent_session=stored.parent_session,
            start_generation=stored.start_generation,
            memory_id=stored.memory_id,
            resumed=True,
        )
        self.redactor.prepare()
        live = self.new_log(opening.session_id)
        last = stored.actions[-1].sequence + 1 if len(stored.actions) else 0
        policy = self.settings.auto_checkpoint
        session = ActiveSession(
            self, live, opening, adopts=True, policy=policy,
            first_sequence=last, first_checkpoint=len(stored.checkpoints),
        )  # fmt: skip
        try:
            self._enter(session, attrs.evolve(card, log_through=0))
            self._begin(session)
        except BaseException:
            self._give_up(session)
            raise
        return session

    def _begin(self, session: ActiveSession) -> None:
        """Put this context into *session* until `end_started`."""
        self._started = session
        CURRENT.set(Scope(session, None, _without_ended(CURRENT.get())))

    def _give_up(self, session: ActiveSession) -> None:
        """An interrupt came: who asked for *session* never learns of it, and so would never end it."""
        self._end_here(session, "exception")

    def _end_here(self, session: ActiveSession, by: str) -> None:
        self.end(session, by=by)
        scope.forget(session)

    def start_if_asked(self) -> None:
        """Start an ambient session if the settings say ``auto_record``."""
        config = self.settings.config
        if config is not None and config.auto_record:
            self.start(None, config, is_ambient=True)

    def end_started(self) -> ReplaySession:
        """
        End the active session and return it.

        Raises:
            NoActiveSessionError: There is none.
            RecordingError: Actions were lost and ``on_loss="raise"``.
        """
        session = self.active()
        if session is None:
            raise NoActiveSessionError
        try:
            self._end_here(session, "call")
        except BaseException:
            self._end_here(session, "call")
            raise
        self.troubles.settle_losses(session)
        return self.result(session)

    def end(self, session: ActiveSession, *, by: str) -> None:
        """
        Seal *session* and leave the publishing to the background; nothing happens if it has ended.

        An interrupt in the middle lets the end come about and goes on its way.
        """
        with self._in_use():
            try:
                self._end(session, by)
            except BaseException:
                self._end(session, by)
                raise

    def _end(self, session: ActiveSession, by: str) -> None:
        scope.closed(session)
        if session.is_handed_over or session.is_forked:
            return
        session.seal(by=by)
        if self._open.pop(session.session_id, None) is not None:
            self.troubles.lost += session.lost
            self.troubles.report_uncovered(session)
        if self._started is session:
            self._started = None
        if session.keeping is not None and session.keeping.give_up():
            session.is_silent = session.is_handed_over = True
            self.unkept += 1
            return
        if self._store is not None:
            background_of(self._store).ended(session)
        session.is_handed_over = True

    def result(self, session: ActiveSession) -> ReplaySession:
        """Return what was recorded in a session that has ended."""
        if session.is_silent:
            return _silent_session(session)
        # The background may be ending it right now, because the store is full.
        deadline = time.monotonic() + _HANDING_OVER_SECONDS
        while not session.is_handed_over and time.monotonic() < deadline:
            time.sleep(_NAP_SECONDS)
        try:
            with self._in_use():
                return self.catalogue.get_session(session.session_id)
        except ClosedError:
            # Also where another thread is closing the recorder just now.
            if self.location == MEMORY:
                raise
            return self._read_again(session.session_id)

    def _read_again(self, session_id: UUID) -> ReplaySession:
        """Read a session from the file of a recorder that is closed."""
        store = open_store(self.place, read_only=True)
        try:
            found = Catalogue(store, frames_at=self._frames_at).get_session(session_id)
            return attrs.evolve(found, actions=tuple(found.actions))
        finally:
            store.close()

    # -- what else comes -----------------------------------------------------------

    def amend(self, session: ActiveSession) -> None:
        """A call came after the end of *session*."""
        store = self._store
        if store is not None:
            background_of(store).amend(session)

    def _forked(self) -> None:
        self._open = {}
        self._started = None
        self._opening = threading.RLock()
        self._using = threading.RLock()
        self._users = 0
        if self._store is not None:
            background_of(self._store).forked()
            if not self.place.endswith(("/", os.sep)) and not os.path.isdir(self.place):
                # A file store is the parent's: its lock must be asked for anew.
                self._store = None
                self._has_worked = False

    # -- the end --------------------------------------------------------------------

    def stats(self) -> dict[str, int]:
        """
        Return counts since the recorder was made.

        Open and skipped sessions, those that were not sampled or not kept, lost,
        unscoped and forked calls, checkpoints of a store that could not be read.
        """
        return {
            "open_sessions": len(self.open_sessions()),
            "lost": self.troubles.lost + sum(session.lost for session in self.open_sessions()),
            "unscoped": self.troubles.unscoped,
            "forked": self.troubles.forked_calls,
            "skipped": self.troubles.skipped,
            "unsampled": self.unsampled,
            "unkept": self.unkept,
            "bare_checkpoints": self.troubles.bare_checkpoints,
            "unpublished": 0 if self._store is None else background_of(self._store).failures,
        }

    def flush(self) -> None:
        """Return when everything recorded so far is on the device."""
        if self._store is not None:
            self.background.flush()

    def close(self) -> None:
        """
        End open sessions, publish them and let go of the store; closing twice is fine.

        Raises:
            StorageError: What a crash left cannot be recovered now; all is let go of, and stays for the next opening.
        """
        for session in list(self._open.values()):
            self.end(session, by="close")
        try:
            if self._store is not None and not self._is_closed:
                _publish_and_close(self._store)
        finally:
            self._store = None
            self._is_closed = True
            self._held.close()


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


def adopts_by_default() -> bool:
    """Whether a block that is entered here is a script's or a notebook's: main thread, no running event loop."""
    if threading.current_thread() is not threading.main_thread():
        return False
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None:
        return True
    return asyncio._get_running_loop() is None


def _without_ended(link: Scope | None) -> Scope | None:
    """Return the chain without the sessions on top of it that another thread has ended: they would pile up."""
    while link is not None and isinstance(link.session, ActiveSession) and not link.session.is_open:
        link = link.outer
    return link


def _silent_session(session: ActiveSession) -> ReplaySession:
    """A session inside a play, or with recording switched off, stores nothing: what it shows is empty."""
    return ReplaySession(
        session_id=session.session_id,
        name=session.opening.name,
        created_ns=session.opening.created_ns,
        ended_ns=session.sealing.ended_ns if session.sealing else None,
        actions=(),
        metadata=dict(session.metadata),
        ended_by=session.sealing.ended_by if session.sealing else "",
    )
