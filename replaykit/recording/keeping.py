"""Keep on failure: decides whether a session that is held in RAM is worth keeping, and moves it into the store."""

from __future__ import annotations

import _thread
import signal
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from replaykit.errors import StorageError
from replaykit.format import records
from replaykit.protocols import FinishedCall, Log
from replaykit.recording.metadata import with_account
from replaykit.recording.ring import Ring
from replaykit.recording.session import ActiveSession
from replaykit.recording.tickets import ActiveTicket

if TYPE_CHECKING:
    from replaykit.recording.engine import RecordingEngine

__all__ = ["Keeping", "is_failure", "watch_signal"]


def is_failure(error: BaseException | None) -> bool:
    """Return whether *error* leaves a block as a failed one: a closed generator and ``sys.exit(0)`` do not."""
    if isinstance(error, SystemExit):
        return error.code not in (None, 0)
    return error is not None and not isinstance(error, GeneratorExit)


class Keeping:
    """
    Asks after each call of *session* whether it is worth keeping.

    Its log is *ring* until then; *begin* makes the log in the store and has the background watch it.
    """

    def __init__(self, session: ActiveSession, ring: Ring, begin: Callable[[ActiveSession], Log]) -> None:
        self._session = session
        self._ring = ring
        self._begin = begin
        settings = session.engine.settings
        self._slow_ns = None if settings.slow_ms is None else settings.slow_ms * 1e6
        self._wanted = settings.keep_if
        self.reason = ""
        session.keeping = self
        # On the instance, so that a session that is kept anyway pays for no question.
        session.finish = self._finish  # type: ignore[method-assign]

    @property
    def dropped(self) -> int:
        """Actions that there was no room for."""
        return self._ring.dropped

    def _finish(self, ticket: ActiveTicket, result: Any, error: BaseException | None) -> None:
        clock = self._session.engine.clock.perf_counter_ns
        ended = clock()
        # Before the call itself is kept, so that it never falls out of the ring.
        reason = self._reason(ticket, ended - ticket.started, result, error)
        if reason:
            self.keep(reason)
        ticket.started += clock() - ended
        ActiveSession.finish(self._session, ticket, result, error)

    def _reason(self, ticket: ActiveTicket, duration_ns: int, result: Any, error: BaseException | None) -> str:
        if self._ring.target is not None:
            return ""
        if error is not None:
            return "error"
        if self._slow_ns is not None and duration_ns >= self._slow_ns:
            return "slow"
        return "wanted" if self._wanted is not None and self._is_wanted(ticket, duration_ns, result) else ""

    def _is_wanted(self, ticket: ActiveTicket, duration_ns: int, result: Any) -> bool:
        call = ticket.call
        finished = FinishedCall(
            kind=call.operation.kind,
            name=call.operation.name,
            arguments=call.arguments,
            result=result,
            duration_ms=duration_ns / 1e6,
        )
        try:
            return bool(self._wanted(finished)) if self._wanted is not None else False
        except Exception as error:
            self._session.engine.report_failed_predicate(error)
            return False

    def keep(self, reason: str) -> bool:
        """Move the session into the store; False if it is there, has ended, or cannot be (which counts as lost)."""
        session, ring = self._session, self._ring
        try:
            if not ring.move(lambda: self._begin(session)):
                return False
        except (OSError, StorageError) as error:
            session.lost += ring.unwritten
            session.lose(error)
        if ring.target is None:
            return False
        self.reason = reason
        session.log_into(ring.target)
        session.finish = ActiveSession.finish.__get__(session)  # type: ignore[method-assign]
        self._note()
        return True

    def _note(self) -> None:
        """Log the metadata as they are by now, which the ring does not hold, and why the session was kept."""
        session = self._session
        try:
            session.write(records.NOTE, with_account(session.metadata, session))
        except StorageError as error:
            session.lose(error)

    def give_up(self) -> bool:
        """Forget the session, which has ended; False if it was kept."""
        return self._ring.give_up()


def watch_signal(engine: RecordingEngine, number: int) -> Callable[[], None]:
    """
    Keep the engine's open sessions whenever signal *number* comes; return what undoes that.

    A handler that was there before runs, too.

    Raises:
        ValueError: This is not the main thread, or there is no such signal.
        OSError: The system does not allow a handler for it.
    """
    before = signal.getsignal(number)
    known = weakref.ref(engine)

    def keep_all(signum: int, frame: FrameType | None) -> None:
        found = known()
        if found is not None:
            # Not here: the interrupted code may hold a lock of the store.  Not
            # with threading.Thread, whose start takes locks as well.
            _thread.start_new_thread(found.keep_open_sessions, ("signal",))
        if callable(before):
            before(signum, frame)

    signal.signal(number, keep_all)

    def undo() -> None:
        is_ours = signal.getsignal(number) is keep_all
        if is_ours and threading.current_thread() is threading.main_thread():
            signal.signal(number, before)

    return undo
