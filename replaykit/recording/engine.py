"""
The sessions of one recorder: which are open here, and how they end.

What users hold (`Recorder`, `Memory`, a wrapped object) is a face on this.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from replaykit.errors import ClosedError, NoActiveSessionError, SessionActiveError
from replaykit.format.entries import Card
from replaykit.intercept import scope
from replaykit.intercept.scope import CURRENT, Scope
from replaykit.model import FrameId, ReplayConfig, ReplaySession
from replaykit.protocols import Clock, StateSource
from replaykit.recording.keeping import Held
from replaykit.recording.lease import StoreLease
from replaykit.recording.opening import Asked, begun, resumed
from replaykit.recording.ring import Ring
from replaykit.recording.session import ActiveSession, Unrecorded
from replaykit.recording.troubles import Troubles
from replaykit.redactors import make_redactor
from replaykit.settings import Settings
from replaykit.storage.finding import Which

__all__ = ["RecordingEngine", "adopts_by_default"]

_HANDING_OVER_SECONDS = 1.0
_NAP_SECONDS = 0.001


class RecordingEngine:
    """
    Opens, ends and finds the sessions of one recorder.

    *identity* is what calls are bound to: the user's object.  Without
    *loads_rules* the rules of redaction are loaded with the first session,
    like the store, which `lease` holds.
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
        self.lease = StoreLease(location, settings, read_only=read_only, frames_at=frames_at)
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
        self._open: dict[UUID, ActiveSession] = {}
        self._started: ActiveSession | None = None
        self.held = Held(self)
        scope.on_fork(self._forked)

    def rest(self, *, waits: bool = False) -> bool:
        """
        Let go of the store, which the next session opens again; False where it is in use, or only there while open.

        A store is in use that has an open session, or one that is not
        published yet, which is done now if the caller *waits*.
        """
        background = self.lease.background_if_open
        if self.lease.is_in_ram or self._open:
            return False
        if waits and background is not None:
            background.drain()
        if not self.lease.give_back(lambda: bool(self._open)):
            return False
        self.held.close()
        return True

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

    def start(
        self,
        name: str | None,
        config: ReplayConfig | None,
        *,
        metadata: Mapping[str, Any] | None = None,
        is_ambient: bool = False,
    ) -> ActiveSession:
        """
        Open a session that lasts until `end_started`, and put this context into it.

        Raises:
            SessionActiveError: This recorder has an open session.
        """
        if any(not session.is_ambient for session in self.open_sessions()):
            raise SessionActiveError
        asked = Asked(name=name, config=config, metadata=metadata, adopts=True, is_ambient=is_ambient)
        session: Any = self.open(asked)
        try:
            self._begin(session)
        except BaseException:
            self._give_up(session)
            raise
        return session  # type: ignore[no-any-return]  # open() without `may_skip` gives a session

    def open(self, asked: Asked) -> ActiveSession | Unrecorded:
        """
        Open a session; the caller puts it into a context.

        Where it may be skipped an `Unrecorded` comes back if recording is
        disabled, and if a store that worked before takes no more (a full
        disk): a service's requests go on, unrecorded, with one warning.

        Raises:
            SessionActiveError: This context is already in a session of this recorder.
            UsageError: A setting is wrong.
            StorageError: The store cannot be written.
        """
        with self.lease:
            return begun(self, asked)

    def enclosing(self) -> ActiveSession | None:
        """Return the open session of this recorder that this context is in, else None."""
        link = CURRENT.get()
        while link is not None:
            session = link.session
            if isinstance(session, ActiveSession) and session.engine is self and session.is_open:
                return session
            link = link.outer
        return None

    def enter(self, session: ActiveSession, card: Card | None = None) -> None:
        """Have *session*, which begins, known as open and taken care of; *card* is what is published of it already."""
        try:
            self._open[session.session_id] = session
            if isinstance(session.live, Ring):
                self.held.hold(session, session.live)
            elif not session.is_silent:
                self.lease.background.watch(session, card)
            scope.opened(session)
        except BaseException:
            self._give_up(session)
            raise

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
        with self.lease:
            if self.enclosing() is not None or (self._started is not None and self._started.is_open):
                raise SessionActiveError
            session = resumed(self, which)
            try:
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

    def end(self, session: ActiveSession, *, by: str, waits: bool = True) -> None:
        """
        Seal *session* and leave the publishing to the background; nothing happens if it has ended.

        With *waits* it returns once no more ended sessions than may wait to
        be published.  An interrupt in the middle lets the end come about and
        goes on its way.
        """
        with self.lease:
            try:
                self._end(session, by)
            except BaseException:
                self._end(session, by)
                raise
            if waits:
                for nap in self.naps():
                    time.sleep(nap)

    def naps(self) -> Iterator[float]:
        """Yield seconds to sleep while more ended sessions wait to be published than may."""
        background = self.lease.background_if_open
        return iter(()) if background is None else background.naps()

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
        background = self.lease.background_if_open
        if background is not None:
            background.ended(session)
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
            with self.lease:
                return self.lease.catalogue.get_session(session.session_id)
        except ClosedError:
            # Also where another thread is closing the recorder just now.
            if self.lease.is_in_ram:
                raise
            return self.lease.read_again(session.session_id)

    # -- what else comes -----------------------------------------------------------

    def amend(self, session: ActiveSession) -> None:
        """A call came after the end of *session*."""
        background = self.lease.background_if_open
        if background is not None:
            background.amend(session)

    def _forked(self) -> None:
        self._open = {}
        self._started = None
        self.lease.forked()

    # -- the end --------------------------------------------------------------------

    def stats(self) -> dict[str, int]:
        """
        Return counts since the recorder was made.

        Open and skipped sessions, those that were not sampled or not kept, lost,
        unscoped and forked calls, checkpoints of a store that could not be read.
        """
        background = self.lease.background_if_open
        return {
            "open_sessions": len(self.open_sessions()),
            "lost": self.troubles.lost + sum(session.lost for session in self.open_sessions()),
            "unscoped": self.troubles.unscoped,
            "forked": self.troubles.forked_calls,
            "skipped": self.troubles.skipped,
            "unsampled": self.unsampled,
            "unkept": self.unkept,
            "bare_checkpoints": self.troubles.bare_checkpoints,
            "unpublished": 0 if background is None else background.failures,
        }

    def flush(self) -> None:
        """Return when everything recorded so far is on the device."""
        background = self.lease.background_if_open
        if background is not None:
            background.flush()

    def close(self) -> None:
        """
        End open sessions, publish them and let go of the store; closing twice is fine.

        Raises:
            StorageError: What a crash left cannot be recovered now; all is let go of, and stays for the next opening.
        """
        for session in list(self._open.values()):
            self.end(session, by="close")
        try:
            self.lease.close()
        finally:
            self.held.close()


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
