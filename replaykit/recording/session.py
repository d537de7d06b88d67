"""
The hot path: one open session takes calls and logs them.

What happens here happens on the agent's thread, so it is long where that
saves time, and measured (``benchmarks/call_cost.py``).  Rules: never a lock,
one ``write`` per record, arguments packed before the call runs, and nothing
of ours ever reaches the caller.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from replaykit.errors import RedactionError, StorageError
from replaykit.format import records
from replaykit.format.entries import Opening, Sealing
from replaykit.format.records import CANCELLED, FAILED, HEAD, INTENDED, NO_NUMBER, STREAM, UNFINISHED, sealed
from replaykit.format.values import pack
from replaykit.intercept.coverage import Method, Uncovered
from replaykit.intercept.handler import Call
from replaykit.intercept.scope import CURRENT, Scope
from replaykit.logs import get_logger
from replaykit.model import MAX_BODY_BYTES, UNCOVERED, Opaque
from replaykit.operations import Operation, frozen, live_facts
from replaykit.pipeline import RawCall, entry_of
from replaykit.protocols import Log
from replaykit.recording.carrying import carried
from replaykit.recording.checkpoints import Checkpoints
from replaykit.recording.choosing import bounded, choosing
from replaykit.recording.metadata import metadata_of_user, with_account
from replaykit.recording.ring import Ring
from replaykit.recording.tickets import ActiveTicket, packed_items
from replaykit.redactors import Redactor
from replaykit.storage.live_log import encode_opening, encode_sealing

if TYPE_CHECKING:
    from replaykit.recording.engine import RecordingEngine
    from replaykit.recording.keeping import Keeping

__all__ = ["ActiveSession", "Unrecorded"]

log = get_logger("recording")

_MAX_STREAM_BYTES = 64 * 1024 * 1024
"""Items of a stream beyond this are not kept; the action says ``cut``."""

_MOST_OPERATIONS = 4096
_MAX_NOTED_CHARS = 512
_MOST_NOTED = 100

_CANCELLED_NAMES = frozenset({"CancelledError", "Cancelled"})
_DROPPED = Opaque(reason="object", type_name="replaykit.RedactionError")


class Unrecorded:
    """Stands in the chain for a block that is not recorded: disabled, or sampled out."""

    is_open = False
    adopts = False

    def __init__(self, recorder: Any) -> None:
        self.recorder = recorder

    def begin(self, call: Call) -> None:
        """Let the call run unobserved."""

    def count_unscoped(self) -> None:
        """Nothing to count: nobody wanted this."""

    def note_uncovered(self, method: Method) -> None:
        """Nothing to count: nobody wanted this."""

    def note_metadata(self, key: str, value: str) -> None:
        """Nothing to note: nobody wanted this."""


class ActiveSession:
    """
    One session that is open in this process.

    ``begin`` and the tickets may be used from any thread, a signal handler
    and a finaliser; none of them raises because of the recording.

    Attributes:
        pending: Calls that run.
        uncovered: Calls of wrapped objects that no map knows.
        own_sessions: How many sessions the program has opened itself, while
            this ambient one stands for the whole process.
        finishing: Calls and checkpoints that are being logged right now; the
            log is complete once the session has ended and both are empty.
        lost: Actions that could not be kept as they were.
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
        self.engine = engine
        self.redactor = redactor or engine.redactor.with_own_counts()
        self.recorder = engine.identity
        self.opening = opening
        self.live = live
        self.adopts = adopts
        self.is_ambient = is_ambient
        self.is_open = True
        self.has_ended = False
        self.is_forked = False
        self.is_silent = False
        self.is_handed_over = False
        self.lost = 0
        self.late = 0
        self.loss_reason = ""
        self.excluded = 0
        self.keeping: Keeping | None = None
        self.sealing: Sealing | None = None
        self.metadata = dict(opening.metadata)
        self.uncovered = Uncovered()
        self._noted: dict[str, list[str]] = {}
        self.own_sessions = 0
        self.pending: set[ActiveTicket] = set()
        self.finishing: set[object] = set()
        self.next_sequence = itertools.count(first_sequence).__next__
        self._first = first_sequence
        self._latest = -1
        self._next_number = itertools.count().__next__
        self._numbers: dict[int, tuple[int, bool, bool, Operation]] = {}
        self._rows: dict[str, int] = {}
        limit = None if max_actions is None else first_sequence + max_actions
        self._checkpoints = Checkpoints(self, policy=policy, limit=limit, first_id=first_checkpoint)
        self._limit = limit
        self._policy = policy
        self._started = engine.clock.perf_counter_ns()
        # Bound once: looking these up costs more than the calls themselves.
        self._clean = self.redactor.clean_packed
        self._is_clean = self.redactor.is_clean
        self._time_ns = engine.clock.time_ns
        self._counter_ns = engine.clock.perf_counter_ns
        settings = engine.settings
        # How large a body may be to be logged as it is; below 0 none is.
        self._whole_bytes = -1 if settings.capture != "full" else settings.max_action_bytes or records.MAX_RECORD_BYTES
        self._has_bounds = not (policy is None and limit is None and settings.max_session_bytes is None)
        if settings.include or settings.exclude:
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
        return max(0, self._latest + 1 - self._first - self.dropped)

    @property
    def dropped(self) -> int:
        """Actions that a session which was kept late had no room for."""
        return 0 if self.keeping is None else self.keeping.dropped

    def log_into(self, live: Log) -> None:
        """Append to *live* from now on."""
        settings = self.engine.settings
        is_held = isinstance(live, Ring)
        self.live = live
        # What is held in RAM no crash leaves: there is nothing to announce.
        self._intent = settings.intent and not is_held
        self._numbers = {}
        self._sync = live.sync if settings.durability == "always" else None
        is_bounded = settings.max_session_bytes is not None and not is_held
        self._append = bounded(live.append, settings.max_session_bytes, self._fill) if is_bounded else live.append

    def _fill(self) -> None:
        """Take no more calls: enough was logged."""
        self._limit = 0
        self._checkpoints.is_full = True

    # -- calls ------------------------------------------------------------

    def begin(self, call: Call) -> ActiveTicket | None:
        """Return the ticket of a call that begins now; None when it is not recorded."""
        ticket = ActiveTicket()
        ticket.is_ready = False
        try:
            # First noted, then asked: an end that comes in between sees the
            # ticket and waits for it.
            self.pending.add(ticket)
            if not self.is_open:
                self.pending.discard(ticket)
                self._refuse()
                return None
            outer = CURRENT.get()
            link = outer
            while link is not None and link.session is not self:
                link = link.outer
            parent = None if link is None else link.parent
            operation = call.operation
            if parent is None and self._policy is not None:
                self._checkpoints.before(operation)
            known = self._numbers.get(id(operation)) or self._define(operation)
            ticket.number, is_announced, ticket.is_translated, _ = known
            ticket.arguments = pack(call.arguments)
            ticket.session = self
            ticket.call = call
            ticket.items = None
            ticket.flags = 0
            ticket.parent = NO_NUMBER if parent is None else parent
            self._latest = ticket.sequence = sequence = self.next_sequence()
            if self._limit is not None and sequence >= self._limit:
                self._turn_away(ticket)
                return None
            ticket.scope = Scope(self, sequence, outer)
            ticket.time_ns = self._time_ns()
            if is_announced:
                self._announce(ticket)
            ticket.started = self._counter_ns()
            ticket.is_ready = True
        except Exception as error:
            self.pending.discard(ticket)
            self.lose(error)
            return None
        except BaseException:
            # The call does not run, and yet it is kept if it has its number.
            if hasattr(ticket, "sequence"):
                ticket.time_ns, ticket.started = self._time_ns(), self._counter_ns()
                self._keep_unfinished(ticket)
            self.pending.discard(ticket)
            raise
        if not self.is_open:
            self._keep_unfinished(ticket)
            return None
        return ticket

    def _turn_away(self, ticket: ActiveTicket) -> None:
        """The session is full: end it at the next boundary."""
        self.pending.discard(ticket)
        self._checkpoints.is_full = True
        self.late += 1
        if ticket.parent == NO_NUMBER:
            self.engine.end(self, by="limit")

    def _announce(self, ticket: ActiveTicket) -> None:
        """Log that a call is about to run, so that the one in flight at a crash is known."""
        ticket.arguments = arguments = self._cleaned(ticket.arguments, is_map=True)
        is_whole = len(arguments) <= self._whole_bytes
        flags = 0 if is_whole or self._whole_bytes < 0 else records.CUT
        head = HEAD.pack(
            records.INTENT, flags, ticket.number, ticket.sequence, ticket.parent, ticket.time_ns, 0, -1,
            len(arguments) if is_whole else 0, 0,
        )  # fmt: skip
        self._append(sealed(head, arguments) if is_whole else sealed(head))
        if is_whole:
            ticket.flags |= INTENDED

    def finish(self, ticket: ActiveTicket, result: Any, error: BaseException | None) -> None:
        """Keep a call that is over; nothing happens if the session's end has kept it as unfinished."""
        ended = self._counter_ns()
        try:
            self.finishing.add(ticket)
            try:
                self.pending.remove(ticket)
            except KeyError:
                return
            call = ticket.call
            facts = b""
            if error is not None or ticket.items is not None:
                packed, facts = _unusual(ticket, error)
            elif ticket.is_translated:
                result_kept = frozen(call.operation, result)
                packed = b"" if result_kept is None else pack(result_kept)
            else:
                packed = b"" if result is None else pack(result)
            generation = NO_NUMBER if call.generation is None else call.generation()
            if ticket.is_translated and error is None:
                found = live_facts(call.operation, call.arguments, result, call.before)
                facts = b"" if found is None else pack(found)
            self._keep(ticket, ended - ticket.started, generation, packed, facts)
        except Exception as problem:
            self.lose(problem)
        except BaseException:
            # An interrupt in our own code: the call is kept as unfinished,
            # at the session's end or, where that has passed, now.
            self.pending.add(ticket)
            if not self.is_open:
                self._keep_unfinished(ticket)
            raise
        finally:
            self.finishing.discard(ticket)
        if self._has_bounds and ticket.parent < 0:
            self._checkpoints.after(ticket, failed=error is not None)

    def _keep(self, ticket: ActiveTicket, duration_ns: int, generation: int, packed: bytes, facts: bytes) -> None:
        """Append the record of a call that is over; secrets are taken out here, in one scan where there are none."""
        flags = ticket.flags
        arguments = b"" if flags & INTENDED else ticket.arguments
        body = arguments + packed
        if not self._is_clean(body):
            arguments = self._cleaned(arguments, is_map=True)
            packed = self._cleaned(packed)
            body = arguments + packed
        if facts:
            facts = self._cleaned(facts, is_map=not flags & FAILED)
        if len(body) <= self._whole_bytes:
            head = HEAD.pack(
                records.ACTION, flags, ticket.number, ticket.sequence, ticket.parent, ticket.time_ns, duration_ns,
                generation, len(arguments), len(packed),
            )  # fmt: skip
            record = sealed(head, body + facts) if facts else sealed(head, body)
        else:
            record = self._described(ticket, duration_ns, generation, arguments or ticket.arguments, packed, facts)
        if len(record) > records.MAX_RECORD_BYTES:
            raise ValueError(f"the call holds {len(record)} bytes; at most {records.MAX_RECORD_BYTES} are kept")
        self._append(record)
        if self._sync is not None:
            self._sync()

    def _described(
        self, ticket: ActiveTicket, duration_ns: int, generation: int, arguments: bytes, packed: bytes, facts: bytes
    ) -> bytes:
        """Return a record without bodies, none of which may reach the disk, or with bodies cut."""
        failed = bool(ticket.flags & FAILED)
        call = RawCall(
            sequence=ticket.sequence,
            definition=self._row_of(ticket.call.operation),
            time_ns=ticket.time_ns,
            duration_ns=duration_ns,
            parent=None if ticket.parent < 0 else ticket.parent,
            generation=None if generation < 0 else generation,
            arguments=arguments,
            output=facts if failed else packed,
            error=packed if failed else b"",
            facts=b"" if failed else facts,
            flags=frozenset(name for bit, name in records.FLAG_NAMES.items() if ticket.flags & bit),
        )
        limit = self.engine.settings.max_action_bytes or MAX_BODY_BYTES
        entry = entry_of(call, capture=self.engine.settings.capture, hasher=self.engine.hasher, limit=limit)
        return sealed(records.map_body(records.ENTRY, entry))

    def _cleaned(self, packed: bytes, *, is_map: bool = False) -> bytes:
        """Return *packed* without secrets; a redactor that fails costs the whole payload, which then counts as lost."""
        if not packed:
            return packed
        try:
            return self._clean(packed)
        except RedactionError as error:
            self.redactor.failed()
            self.lose(error)
            return pack({"dropped": _DROPPED} if is_map else _DROPPED)

    def take_item(self, ticket: ActiveTicket, value: Any) -> None:
        """Keep one item of a stream until the stream is over."""
        if ticket.items is None:
            ticket.items = []
            ticket.item_bytes = 0
        if ticket.flags & records.CUT:
            return
        try:
            packed = pack(frozen(ticket.call.operation, value) if ticket.is_translated else value)
        except Exception as error:
            self.lose(error)
            return
        ticket.item_bytes += len(packed)
        if ticket.item_bytes > _MAX_STREAM_BYTES:
            ticket.flags |= records.CUT
            return
        ticket.items.append(packed)

    def _define(self, operation: Operation) -> tuple[int, bool, bool, Operation]:
        row = self._row_of(operation)
        number = self._rows.get(repr(row))
        if number is None:
            number = self._next_number()
            self.write(records.DEFINE, {"n": number, "row": row})
            self._rows[repr(row)] = number
        if len(self._numbers) >= _MOST_OPERATIONS:
            # Each call that is recorded by hand brings an operation of its own.
            self._numbers = {}
        known = (number, self._intent and operation.is_announced, operation.is_translated, operation)
        # The row is kept beside its number: an id may be reused once its object is gone.
        self._numbers[id(operation)] = known
        return known

    def _row_of(self, operation: Operation) -> dict[str, Any]:
        row = operation.definition()
        # A tool may bear any name.
        row["name"] = self.redactor.clean_name(row["name"])
        return row

    def write(self, what: int, content: dict[str, Any]) -> None:
        """
        Append a record that holds one map.

        Raises:
            StorageError: It is not kept.
        """
        try:
            self._append(sealed(records.map_body(what, content)))
        except OSError as error:
            path = self.live.path
            raise StorageError(f"Cannot write {path}: {error.strerror or error}", path=path) from error

    def sync_if_promised(self) -> None:
        """
        With ``durability="always"`` return when everything written before is on the device; else at once.

        Raises:
            StorageError: It cannot be said to be.
        """
        if self._sync is None:
            return
        try:
            self._sync()
        except OSError as error:
            path = self.live.path
            raise StorageError(f"Cannot sync {path}: {error.strerror or error}", path=path) from error

    # -- what goes wrong ----------------------------------------------------

    def lose(self, error: BaseException) -> None:
        """Count an action that could not be kept, or not as it was; the first reason is logged."""
        self.lost += 1
        if not self.loss_reason:
            self.loss_reason = f"{type(error).__name__}: {error}"
            self.engine.troubles.report_loss(self, error)
        if not self.is_open:
            self.engine.amend(self)

    def _refuse(self) -> None:
        if self.is_forked:
            self.engine.troubles.count_forked()
        else:
            self.late += 1
            self.engine.amend(self)

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
        self.begin = lambda call: None  # type: ignore[method-assign]

    def abandon(self) -> None:
        """Let go of everything without a trace: this is a forked child, the session is the parent's."""
        self.is_open = False
        self.is_forked = True
        # Calls that were running at the fork finish in the child as well;
        # they are the parent's to keep.
        self.pending = set()
        getattr(self.live, "abandon", lambda: None)()

    # -- by hand, and the end -------------------------------------------------

    def checkpoint(self) -> int:
        """
        Make a checkpoint of the memory as it is now; return its id.

        Raises:
            NoActiveSessionError: The session has ended.
        """
        return self._checkpoints.make()

    def record(
        self,
        operation: Operation,
        arguments: Mapping[str, Any],
        output: Any,
        error: BaseException | None,
        duration_ns: int,
    ) -> int | None:
        """Keep a call that the caller made itself; return its sequence, None if it could not be kept."""
        ticket = self.begin(Call(operation, arguments, self.recorder))
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
        for ticket in sorted((ticket for ticket in list(self.pending) if ticket.is_ready), key=_sequence_of):
            self._keep_unfinished(ticket)
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
            self.live.append_end(sealed(records.map_body(records.END, encode_sealing(self.sealing))))
        except Exception as error:
            self.lose(error)
        self.has_ended = True

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

    def _keep_unfinished(self, ticket: ActiveTicket) -> None:
        try:
            self.finishing.add(ticket)
            self.pending.remove(ticket)
            packed = b"" if ticket.items is None else packed_items(ticket.items)
            ticket.flags |= UNFINISHED | (STREAM if ticket.items is not None else 0)
            self._keep(ticket, self._counter_ns() - ticket.started, NO_NUMBER, packed, b"")
        except KeyError:
            # Its own thread is just keeping it.
            return
        except Exception as error:
            self.lose(error)
        finally:
            self.finishing.discard(ticket)

    def carry(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return *function* so that, in whatever thread it runs, its calls are this session's."""
        scope = CURRENT.get()
        link = scope
        while link is not None and link.session is not self:
            link = link.outer
        return carried(function, Scope(self, None, scope) if scope is None or link is None else scope)


def _sequence_of(ticket: ActiveTicket) -> int:
    return ticket.sequence


def _unusual(ticket: ActiveTicket, error: BaseException | None) -> tuple[bytes, bytes]:
    """Flag a call that failed or streamed; return its packed error or items, and the items of a failed stream."""
    items = b"" if ticket.items is None else packed_items(ticket.items)
    if ticket.items is not None:
        ticket.flags |= STREAM
    if error is None:
        return items, b""
    ticket.flags |= FAILED | (CANCELLED if type(error).__name__ in _CANCELLED_NAMES else 0)
    return pack(error), items
