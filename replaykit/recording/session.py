"""One open session: what it counts and notes beside its calls, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from replaykit.errors import StorageError
from replaykit.format import records
from replaykit.format.entries import Opening, Sealing
from replaykit.intercept.coverage import Method, Uncovered
from replaykit.intercept.handler import Called
from replaykit.intercept.scope import CURRENT, Scope
from replaykit.logs import get_logger
from replaykit.model import UNCOVERED
from replaykit.operations import Operation
from replaykit.protocols import Log
from replaykit.recording.calls import Calls
from replaykit.recording.carrying import carried
from replaykit.recording.checkpoints import Checkpoints
from replaykit.recording.choosing import choosing
from replaykit.recording.metadata import metadata_of_user, with_account
from replaykit.recording.tickets import ActiveTicket
from replaykit.redactors import Redactor
from replaykit.storage.live_log import encode_opening, encode_sealing

if TYPE_CHECKING:
    from replaykit.recording.engine import RecordingEngine
    from replaykit.recording.keeping import Keeping

__all__ = ["ActiveSession", "Unrecorded"]

log = get_logger("recording")

_MAX_NOTED_CHARS = 512
_MOST_NOTED = 100


class Unrecorded:
    """Stands in the chain for a block that is not recorded: disabled, or sampled out."""

    is_open = False
    adopts = False
    run = None

    def __init__(self, recorder: Any) -> None:
        self.recorder = recorder

    def begin(self, called: Called, arguments: Mapping[str, Any]) -> None:
        """Let the call run unobserved."""

    def count_unscoped(self) -> None:
        """Nothing to count: nobody wanted this."""

    def note_uncovered(self, method: Method) -> None:
        """Nothing to count: nobody wanted this."""

    def note_metadata(self, key: str, value: str) -> None:
        """Nothing to note: nobody wanted this."""


class ActiveSession(Calls):
    """
    One session that is open in this process.

    ``begin`` and the tickets may be used from any thread, a signal handler
    and a finaliser; none of them raises because of the recording.

    Attributes:
        uncovered: Calls of wrapped objects that no map knows.
        own_sessions: How many sessions the program has opened itself, while
            this ambient one stands for the whole process.
        late: Calls that began after the end.
        excluded: Calls that ``include=`` and ``exclude=`` leave out.
        keeping: Decides whether the session is kept at all; None where it is.
    """

    def __init__(
        self,
        engine: RecordingEngine,
        live: Log,
        opening: Opening,
        *,
        adopts: bool,
        is_ambient: bool = False,
        first_sequence: int = 0,
        first_checkpoint: int = 0,
        policy: Any = None,
        max_actions: int | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        limit = None if max_actions is None else first_sequence + max_actions
        super().__init__(
            engine,
            redactor or engine.redactor.with_own_counts(),
            checkpoints=Checkpoints(policy=policy, limit=limit, first_id=first_checkpoint),
            first_sequence=first_sequence,
        )
        self.opening = opening
        self.adopts = adopts
        self.is_ambient = is_ambient
        self.has_ended = False
        self.is_forked = False
        self.is_silent = False
        self.is_handed_over = False
        self.late = 0
        self.loss_reason = ""
        self.excluded = 0
        self.keeping: Keeping | None = None
        self.sealing: Sealing | None = None
        self.metadata = dict(opening.metadata)
        self.uncovered = Uncovered()
        self._noted: dict[str, list[str]] = {}
        self.own_sessions = 0
        self._first = first_sequence
        self._started = engine.clock.perf_counter_ns()
        settings = engine.settings
        chooses = bool(settings.include or settings.exclude)
        self._has_own_ways = chooses or settings.keep == "on_failure" or settings.max_session_bytes is not None
        if chooses:
            self.begin = choosing(self, settings.takes)  # type: ignore[method-assign,assignment]  # takes a call, too
        self.log_into(live)
        self.write(records.OPEN, encode_opening(opening, align=live.align))

    @property
    def session_id(self) -> UUID:
        """The session's id."""
        return self.opening.session_id

    @property
    def calls_begun(self) -> int:
        """About how many calls began since the session was opened, or opened again."""
        return max(0, self.latest + 1 - self._first - self.dropped)

    @property
    def dropped(self) -> int:
        """Actions that a session which was kept late had no room for."""
        return 0 if self.keeping is None else self.keeping.dropped

    # -- what goes wrong ----------------------------------------------------

    def lose(self, error: BaseException) -> None:
        """Count an action that could not be kept, or not as it was; the first reason is logged."""
        self.lost += 1
        if not self.loss_reason:
            self.loss_reason = f"{type(error).__name__}: {error}"
            self.engine.troubles.report_loss(self, error)
        if not self.is_open:
            self.engine.amend(self)

    def note_unreadable(self, count: int) -> None:
        """Count actions whose records, as their publishing found, make no sense: the session has ended by now."""
        self.lost += count
        self.engine.troubles.lost += count
        error = StorageError(f"{count} record(s) make no sense", path=self.live.path)
        self.loss_reason = self.loss_reason or str(error)
        self.engine.troubles.report_loss(self, error)

    def _refuse(self) -> None:
        if self.is_forked:
            self.engine.troubles.count_forked()
        else:
            self.late += 1
            self.engine.amend(self)

    def _turn_away(self, ticket: ActiveTicket) -> None:
        self.pending.discard(ticket)
        self._checkpoints.is_full = True
        self.late += 1
        if ticket.parent < 0:
            self.engine.end(self, by="limit", waits=False)

    def _before_call(self, operation: Operation) -> None:
        self._checkpoints.before(self, operation)

    def _after_call(self, ticket: ActiveTicket, *, failed: bool) -> None:
        self._checkpoints.after(self, ticket, failed=failed)

    def count_unscoped(self) -> None:
        """Count a call whose context has no session while this one is open and does not adopt it."""
        self.engine.troubles.count_unscoped()

    def note_uncovered(self, method: Method) -> None:
        """Count a call of a method that the map of a wrapped object says nothing about."""
        if self.is_open:
            self.uncovered.note(method)

    def note_metadata(self, key: str, value: str) -> None:
        """Add what a call says of the session, unless its user said it; of several values a list, of up to 100."""
        noted = self._noted.setdefault(key, [])
        if not self.is_open or self.is_silent or value in noted or (not noted and key in self.metadata):
            return
        if len(value) > _MAX_NOTED_CHARS or len(noted) >= _MOST_NOTED:
            return
        noted.append(value)
        try:
            self.annotate({key: value if len(noted) == 1 else list(noted)})
        except Exception as error:
            # The call that it was read from must not suffer for it.
            log.warning("metadata_not_noted", key=key, error=type(error).__name__)

    def note_session(self, session: ActiveSession) -> None:
        """Count a session that the program opens itself: the calls in it are not this one's."""
        self.own_sessions += 1

    def silence(self) -> None:
        """Keep nothing: a player answers the calls, or recording is switched off."""
        self.is_silent = True
        # On the instance, so that a session that does record pays for no check.
        self.begin = lambda called, arguments: None  # type: ignore[method-assign]
        self.run = None

    def abandon(self) -> None:
        """Let go of everything without a trace: this is a forked child, the session is the parent's."""
        self.is_open = False
        self.is_forked = True
        # Calls that were running at the fork finish in the child as well;
        # they are the parent's to keep.
        self.pending.clear()
        getattr(self.live, "abandon", lambda: None)()

    # -- by hand, and the end -------------------------------------------------

    def checkpoint(self) -> int:
        """
        Make a checkpoint of the memory as it is now; return its id.

        Raises:
            NoActiveSessionError: The session has ended.
        """
        return self._checkpoints.make(self)

    def record(
        self,
        operation: Operation,
        arguments: Mapping[str, Any],
        output: Any,
        error: BaseException | None,
        duration_ns: int,
    ) -> int | None:
        """Keep a call that the caller made itself; return its sequence, None if it could not be kept."""
        ticket = self.begin(Called(operation, self.recorder), arguments)
        if ticket is None:
            return None
        ticket.started = self._counter_ns() - duration_ns
        ticket.time_ns = self._time_ns() - duration_ns
        if error is not None:
            ticket.fail(error)
        else:
            ticket.finish(output)
        return ticket.sequence

    def annotate(self, metadata: Mapping[str, Any]) -> None:
        """Add to the session's metadata, redacted and as plain values."""
        cleaned = metadata_of_user(metadata, self.redactor)
        self.metadata.update(cleaned)
        self.write(records.NOTE, cleaned)
        self.sync_if_promised()

    def seal(self, *, by: str, state: str = "sealed") -> None:
        """
        Write the end: calls still running as unfinished, then the END record; nothing if it was written before.

        What cannot be written is counted as lost, and the log is then
        recovered as interrupted.  Only an interrupt comes out; the next call
        does the rest.
        """
        # Publishing waits for this as it does for a call: another thread, or a
        # signal handler, may come to the end of the same session meanwhile.
        token = object()
        try:
            self.finishing.add(token)
            if not self.has_ended:
                self._seal(by, state)
        finally:
            self.finishing.discard(token)

    def _seal(self, by: str, state: str) -> None:
        self.is_open = False
        for ticket in sorted((ticket for ticket in list(self.pending) if hasattr(ticket, "started")), key=_sequence_of):
            self.keep_unfinished(ticket)
        self._keep_uncovered()
        if self.sealing is None:
            self.sealing = Sealing(
                state=state,
                ended_ns=self._time_ns(),
                ended_by=by,
                duration_ns=self._counter_ns() - self._started,
                lost=self.lost,
                late=self.late,
                metadata=with_account(self.metadata, self),
            )
        try:
            self.live.append_end(records.sealed(records.map_body(records.END, encode_sealing(self.sealing))))
        except Exception as error:
            self.lose(error)
        self.has_ended = True
        self._let_go()

    def _let_go(self) -> None:
        """Drop what holds this session: each would be memory until the garbage collector comes by, and stops all."""
        # A call that comes now goes through `begin` of the class, and is late.
        self.run = None
        if self._has_own_ways and not self.is_silent:
            self._append = self.live.append
            vars(self).pop("begin", None)
            vars(self).pop("finish", None)

    def _keep_uncovered(self) -> None:
        counts = self.uncovered.counts()
        if not counts:
            return
        self.metadata[UNCOVERED] = counts
        try:
            self.write(records.NOTE, {UNCOVERED: counts})
        except StorageError as error:
            # No action is lost with it.
            self.engine.troubles.report_loss(self, error)

    def carry(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return *function* so that, in whatever thread it runs, its calls are this session's."""
        scope = CURRENT.get()
        link = scope
        while link is not None and link.session is not self:
            link = link.outer
        return carried(function, Scope(self, None, scope) if scope is None or link is None else scope)


def _sequence_of(ticket: ActiveTicket) -> int:
    return ticket.sequence
