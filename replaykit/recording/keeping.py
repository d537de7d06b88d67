"""Keep on failure: decides whether a session that is held in RAM is worth keeping, and moves it into the store."""

from __future__ import annotations

import _thread
import signal
import threading
import weakref
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from replaykit.errors import StorageError
from replaykit.format import records
from replaykit.protocols import FinishedCall, Log
from replaykit.recording.metadata import with_account
from replaykit.recording.ring import Ring
from replaykit.recording.session import ActiveSession
from replaykit.recording.tickets import ActiveTicket

if TYPE_CHECKING:
    from replaykit.recording.engine import RecordingEngine

__all__ = ["Held", "Keeping", "is_failure"]


def is_failure(error: BaseException | None) -> bool:
    """Return whether *error* leaves a block as a failed one: a closed generator and ``sys.exit(0)`` do not."""
    if isinstance(error, SystemExit):
        return error.code not in (None, 0)
    return error is not None and not isinstance(error, GeneratorExit)


class Keeping:
    """
    Asks after each call of *session* whether it is worth keeping.

    Each method is told the session: one that held it would wait with it for
    the garbage collector.  Its log is *ring* until then; *begin* makes the
    log in the store and has the background watch it.
    """

    def __init__(self, session: ActiveSession, ring: Ring, begin: Callable[[ActiveSession], Log]) -> None:
        self._ring = ring
        self._begin = begin
        settings = session.engine.settings
        self._slow_ns = None if settings.slow_ms is None else settings.slow_ms * 1e6
        self._wanted = settings.keep_if
        self.reason = ""
        session.keeping = self
        # On the instance, so that a session that is kept anyway pays for no question.
        session.finish = partial(self._finish, session)  # type: ignore[method-assign]

    @property
    def dropped(self) -> int:
        """Actions that there was no room for."""
        return self._ring.dropped

    def _finish(self, session: ActiveSession, ticket: ActiveTicket, result: Any, error: BaseException | None) -> None:
        clock = session.engine.clock.perf_counter_ns
        ended = clock()
        # Before the call itself is kept, so that it never falls out of the ring.
        reason = self._reason(session, ticket, ended - ticket.started, result, error)
        if reason:
            self.keep(session, reason)
        ticket.started += clock() - ended
        ActiveSession.finish(session, ticket, result, error)

    def _reason(
        self,
        session: ActiveSession,
        ticket: ActiveTicket,
        duration_ns: int,
        result: Any,
        error: BaseException | None,
    ) -> str:
        if self._ring.target is not None:
            return ""
        if error is not None:
            return "error"
        if self._slow_ns is not None and duration_ns >= self._slow_ns:
            return "slow"
        return "wanted" if self._wanted is not None and self._is_wanted(session, ticket, duration_ns, result) else ""

    def _is_wanted(self, session: ActiveSession, ticket: ActiveTicket, duration_ns: int, result: Any) -> bool:
        operation = ticket.called.operation
        finished = FinishedCall(
            kind=operation.kind,
            name=operation.name,
            arguments=ticket.given,
            result=result,
            duration_ms=duration_ns / 1e6,
        )
        try:
            return bool(self._wanted(finished)) if self._wanted is not None else False
        except Exception as error:
            session.engine.troubles.report_failed_predicate(error)
            return False

    def keep(self, session: ActiveSession, reason: str) -> bool:
        """Move the session into the store; False if it is there, has ended, or cannot be (which counts as lost)."""
        ring = self._ring
        try:
            if not ring.move(lambda: self._begun(session, reason)):
                return False
        except (OSError, StorageError) as error:
            session.lost += ring.unwritten
            session.lose(error)
        if ring.target is None:
            return False
        vars(session).pop("finish", None)
        session.log_into(ring.target)
        _note(session)
        return True

    def _begun(self, session: ActiveSession, reason: str) -> Log:
        # Now, so that an end which comes in between says it, too.
        self.reason = reason
        return self._begin(session)

    def give_up(self) -> bool:
        """Forget the session, which has ended; False if it was kept."""
        return self._ring.give_up()


def _note(session: ActiveSession) -> None:
    """Log the metadata as they are by now, which the ring does not hold, and why the session was kept."""
    try:
        session.write(records.NOTE, with_account(session.metadata, session))
    except StorageError as error:
        session.lose(error)


class Held:
    """The sessions of *engine* that are held in RAM, and the signal that keeps them."""

    def __init__(self, engine: RecordingEngine) -> None:
        self._engine = engine
        self._unwatch: Callable[[], None] | None = None

    def new_ring(self, session_id: UUID) -> Ring:
        """
        Return the log of a session that is held in RAM.

        Raises:
            StorageError: The store, which may never be written, cannot be: said now rather than once something fails.
        """
        settings = self._engine.settings
        assert self._engine.lease.store is not None
        return Ring(session_id, max_bytes=settings.keep_bytes, align=settings.align)

    def hold(self, session: ActiveSession, ring: Ring) -> None:
        """Decide from now on whether *session*, which logs into *ring*, is worth keeping."""
        Keeping(session, ring, self._begin)
        self._watch_signal()

    def _begin(self, session: ActiveSession) -> Log:
        """Return the log in the store of a session that is kept; the background watches it from now on."""
        live = session.live = self._engine.lease.new_log(session.session_id)
        self._engine.lease.background.watch(session)
        return live

    def keep_all(self, reason: str) -> None:
        """Keep all open sessions."""
        for session in self._engine.open_sessions():
            if session.keeping is not None:
                session.keeping.keep(session, reason)

    def _watch_signal(self) -> None:
        number = self._engine.settings.keep_signal
        if number is None or self._unwatch is not None:
            return
        try:
            self._unwatch = _watching(self, number)
        except (ValueError, OSError) as error:
            self._engine.troubles.report_deaf(f"keep_signal={number} cannot be watched here: {error}")

    def close(self) -> None:
        """Give the signal back to who had it before."""
        unwatch, self._unwatch = self._unwatch, None
        if unwatch is not None:
            unwatch()


def _watching(held: Held, number: int) -> Callable[[], None]:
    """
    Keep what is held whenever signal *number* comes; return what undoes that.

    A handler that was there before runs, too.

    Raises:
        ValueError: This is not the main thread, or there is no such signal.
        OSError: The system does not allow a handler for it.
    """
    before = signal.getsignal(number)
    known = weakref.ref(held)

    def keep_all(signum: int, frame: FrameType | None) -> None:
        found = known()
        if found is not None:
            # Not here: the interrupted code may hold a lock of the store.  Not
            # with threading.Thread, whose start takes locks as well.
            _thread.start_new_thread(found.keep_all, ("signal",))
        if callable(before):
            before(signum, frame)

    signal.signal(number, keep_all)

    def undo() -> None:
        is_ours = signal.getsignal(number) is keep_all
        if is_ours and threading.current_thread() is threading.main_thread():
            signal.signal(number, before)

    return undo
