"""
The hot path: one open session takes calls and logs them.

What happens here happens on the agent's thread, so it is long where that
saves time, and measured (``benchmarks/call_cost.py``).  Rules: never a lock,
one ``write`` per record, arguments packed before the call runs, and nothing
of ours ever reaches the caller.
"""

from __future__ import annotations

import itertools
import threading
import time
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from replaykit.errors import NoActiveSessionError
from replaykit.format import records
from replaykit.format.actions import checkpoint_entry
from replaykit.format.entries import Opening, Sealing
from replaykit.format.records import ABANDONED, ASYNC, CANCELLED, CUT, FAILED, HEAD, INTENDED, STREAM, UNFINISHED
from replaykit.format.values import pack
from replaykit.intercept.handler import Call
from replaykit.intercept.scope import CURRENT, Scope
from replaykit.logs import get_logger
from replaykit.model import ZERO_HASH, Checkpoint, StateSnapshot
from replaykit.operations import Operation, live_facts
from replaykit.pipeline import RawCall, entry_of
from replaykit.protocols import Log, PendingCall, Progress
from replaykit.storage.live_log import encode_opening, encode_sealing

if TYPE_CHECKING:
    from replaykit.recording.engine import RecordingEngine

__all__ = ["ActiveSession", "Unrecorded"]

log = get_logger("recording")

_MAX_STREAM_BYTES = 64 * 1024 * 1024
"""Items of a stream beyond this are not kept; the action says ``cut``."""

_CANCELLED_NAMES = frozenset({"CancelledError", "Cancelled"})
_CHECKPOINT = Operation(kind="tool", name="checkpoint", source="replaykit")


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


class ActiveTicket:
    """One call in flight in an `ActiveSession`."""

    __slots__ = (
        "abandoned", "arguments", "call", "finishing", "flags", "generation", "item_bytes", "items", "live_arguments",
        "number", "parent", "scope", "sequence", "session", "started", "time_ns",
    )  # fmt: skip

    answer = None

    session: ActiveSession
    call: Call
    scope: Scope
    items: list[bytes] | None

    def finish(self, result: Any) -> None:
        self.session._finish(self, result, None)

    def fail(self, error: BaseException) -> None:
        self.session._finish(self, None, error)

    def item(self, value: Any) -> None:
        self.session._take_item(self, value)

    def end(self, *, abandoned: bool = False) -> None:
        if self.items is None:
            self.items = []
        if abandoned:
            self.flags |= ABANDONED
        self.session._finish(self, None, None)

    def mark_async(self) -> None:
        self.flags |= ASYNC


class ActiveSession:
    """
    One session that is open in this process.

    ``begin`` and the tickets may be used from any thread, a signal handler
    and a finaliser; none of them raises because of the recording.
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
    ) -> None:
        self.engine = engine
        self.recorder = engine.identity
        self.opening = opening
        self.live = live
        self.adopts = adopts
        self.is_ambient = is_ambient
        self.is_open = True
        self.is_forked = False
        self.is_silent = False
        self.lost = 0
        self.late = 0
        self.loss_reason = ""
        self.sealing: Sealing | None = None
        self.metadata = dict(opening.metadata)
        self.pending: dict[int, ActiveTicket] = {}
        self._policy = policy
        self._limit = None if max_actions is None else first_sequence + max_actions
        self._is_full_up = False
        self._latest = -1
        self._last_checkpoint = -1
        self._next = itertools.count(first_sequence).__next__
        self._next_checkpoint = itertools.count(first_checkpoint).__next__
        self._next_number = itertools.count().__next__
        self._numbers: dict[int, tuple[int, Operation]] = {}
        self._policy_lock = threading.Lock()
        self._since = [0, time.monotonic(), 0]
        self._started = engine.clock.perf_counter_ns()
        # Bound once: looking these up costs more than the calls themselves.
        self._clean = engine.redactor.clean_packed
        self._append = live.append
        self._time_ns = engine.clock.time_ns
        self._counter_ns = engine.clock.perf_counter_ns
        self._is_full = engine.settings.capture == "full"
        self._intent = engine.settings.intent
        self._sync = live.sync if engine.settings.durability == "always" else None
        self._append(records.sealed(records.map_body(records.OPEN, encode_opening(opening))))

    @property
    def session_id(self) -> UUID:
        """The session's id."""
        return self.opening.session_id

    @property
    def actions_begun(self) -> int:
        """About how many actions began so far."""
        return self._latest + 1

    # -- calls ------------------------------------------------------------

    def begin(self, call: Call) -> ActiveTicket | None:
        """Return the ticket of a call that begins now; None when it is not recorded."""
        if not self.is_open:
            self._refuse()
            return None
        outer = CURRENT.get()
        link = outer
        while link is not None and link.session is not self:
            link = link.outer
        parent = None if link is None else link.parent
        try:
            if parent is None and self._policy is not None:
                self._before(call.operation)
            arguments = self._clean(pack(call.arguments))
            known = self._numbers.get(id(call.operation))
            number = known[0] if known is not None else self._define(call.operation)
            ticket = ActiveTicket()
            sequence = self._next()
            if self._limit is not None and sequence >= self._limit:
                self._is_full_up = True
                self.late += 1
                if parent is None:
                    self.engine.end(self, by="limit")
                return None
            self._latest = sequence
            ticket.session = self
            ticket.call = call
            ticket.number = number
            ticket.sequence = sequence
            ticket.parent = -1 if parent is None else parent
            ticket.scope = Scope(self, sequence, outer)
            ticket.arguments = arguments
            ticket.items = None
            ticket.finishing = False
            ticket.flags = 0
            ticket.time_ns = self._time_ns()
            self.pending[sequence] = ticket
            if self._intent and call.operation.is_announced:
                self._announce(ticket)
            ticket.started = self._counter_ns()
        except Exception as error:
            self._lose(error)
            return None
        return ticket

    def _announce(self, ticket: ActiveTicket) -> None:
        """Log that a call is about to run, so that the one in flight at a crash is known."""
        head = HEAD.pack(
            records.INTENT, 0, ticket.number, ticket.sequence, ticket.parent, ticket.time_ns, 0, -1,
            len(ticket.arguments) if self._is_full else 0, 0,
        )  # fmt: skip
        self._append(records.sealed(head + ticket.arguments if self._is_full else head))
        ticket.flags |= INTENDED

    def _finish(self, ticket: ActiveTicket, result: Any, error: BaseException | None) -> None:
        ended = self._counter_ns()
        sequence = ticket.sequence
        if sequence not in self.pending:
            # The session ended first: the call is kept there as unfinished.
            return
        ticket.finishing = True
        failed = False
        try:
            flags = ticket.flags
            call = ticket.call
            if error is not None:
                failed = True
                flags |= FAILED | (CANCELLED if type(error).__name__ in _CANCELLED_NAMES else 0)
                packed = self._clean(pack(error))
                if ticket.items is not None:
                    flags |= STREAM
            elif ticket.items is not None:
                flags |= STREAM
                packed = _packed_items(ticket.items)
            else:
                packed = b"" if result is None else self._clean(pack(result))
            generation = -1 if call.generation is None else call.generation()
            if error is None:
                facts = self._facts(call, result)
            else:
                # A failed call has no facts of its own; a failed stream has items.
                facts = b"" if ticket.items is None else _packed_items(ticket.items)
            self._keep(ticket, flags, ended - ticket.started, generation, packed, facts)
        except Exception as problem:
            self._lose(problem)
        finally:
            self.pending.pop(sequence, None)
        if ticket.parent < 0 and (self._policy is not None or self._limit is not None):
            self._after(ticket, failed)

    def _facts(self, call: Call, result: Any) -> bytes:
        found = live_facts(call.operation, call.arguments, result)
        return b"" if found is None else self._clean(pack(found))

    def _keep(
        self, ticket: ActiveTicket, flags: int, duration_ns: int, generation: int, packed: bytes, facts: bytes
    ) -> None:
        """Append the record of a call that is over."""
        if not self._is_full:
            body = self._described(ticket, flags, duration_ns, generation, packed, facts)
        else:
            arguments = b"" if flags & INTENDED else ticket.arguments
            head = HEAD.pack(
                records.ACTION, flags, ticket.number, ticket.sequence, ticket.parent, ticket.time_ns, duration_ns,
                generation, len(arguments), len(packed),
            )  # fmt: skip
            body = b"".join((head, arguments, packed, facts))
        if len(body) > records.MAX_RECORD_BYTES:
            raise ValueError(f"the call holds {len(body)} bytes; at most {records.MAX_RECORD_BYTES} are kept")
        self._append(records.sealed(body))
        if self._sync is not None:
            self._sync()

    def _described(
        self, ticket: ActiveTicket, flags: int, duration_ns: int, generation: int, packed: bytes, facts: bytes
    ) -> bytes:
        """Return a record without bodies: with ``capture="preview"`` or ``"hash"`` none may reach the disk."""
        failed = bool(flags & FAILED)
        call = RawCall(
            sequence=ticket.sequence,
            definition=ticket.call.operation.definition(),
            time_ns=ticket.time_ns,
            duration_ns=duration_ns,
            parent=None if ticket.parent < 0 else ticket.parent,
            generation=None if generation < 0 else generation,
            arguments=ticket.arguments,
            output=facts if failed else packed,
            error=packed if failed else b"",
            facts=b"" if failed else facts,
            flags=frozenset(name for bit, name in records.FLAG_NAMES.items() if flags & bit),
        )
        entry = entry_of(call, capture=self.engine.settings.capture, hasher=self.engine.hasher)
        return records.map_body(records.ENTRY, entry)

    def _take_item(self, ticket: ActiveTicket, value: Any) -> None:
        if ticket.items is None:
            ticket.items = []
            ticket.item_bytes = 0
        if ticket.flags & CUT:
            return
        try:
            packed = self._clean(pack(value))
        except Exception as error:
            self._lose(error)
            return
        ticket.item_bytes += len(packed)
        if ticket.item_bytes > _MAX_STREAM_BYTES:
            ticket.flags |= CUT
            return
        ticket.items.append(packed)

    def _define(self, operation: Operation) -> int:
        number = self._next_number()
        row = operation.definition()
        self._append(records.sealed(records.map_body(records.DEFINE, {"n": number, "row": row})))
        # The row is kept beside its number: an id may be reused once its object is gone.
        self._numbers[id(operation)] = (number, operation)
        return number

    # -- what goes wrong ----------------------------------------------------

    def _lose(self, error: BaseException) -> None:
        self.lost += 1
        if not self.loss_reason:
            self.loss_reason = f"{type(error).__name__}: {error}"
            self.engine.report_loss(self, error)

    def _refuse(self) -> None:
        if self.is_forked:
            self.engine.count_forked()
        else:
            self.late += 1
            self.engine.amend(self)

    def count_unscoped(self) -> None:
        """Count a call whose context has no session while this one is open and does not adopt it."""
        self.engine.count_unscoped()

    def silence(self) -> None:
        """Keep nothing: a player answers the calls, or recording is switched off."""
        self.is_silent = True
        # On the instance, so that a session that does record pays for no check.
        self.begin = lambda call: None  # type: ignore[method-assign]

    def abandon(self) -> None:
        """Let go of everything without a trace: this is a forked child, the session is the parent's."""
        self.is_open = False
        self.is_forked = True
        getattr(self.live, "abandon", lambda: None)()

    # -- checkpoints --------------------------------------------------------

    def _before(self, operation: Operation) -> None:
        if self._policy.before(PendingCall(kind=operation.kind, name=operation.name)):
            self._checkpoint_quietly()

    def _after(self, ticket: ActiveTicket, failed: bool) -> None:
        """Ask the policies and the limit; a thread that finds another one asking leaves it to that one."""
        self._since[0] += 1
        if self._policy is not None and not self._limit_is_reached(ticket.sequence):
            if self._policy_lock.acquire(blocking=False):
                try:
                    self._ask_policy(ticket.call.operation.kind, failed)
                finally:
                    self._policy_lock.release()
        if self.is_open and self._limit_is_reached(max(ticket.sequence, self._last_checkpoint)):
            self.engine.end(self, by="limit")

    def _limit_is_reached(self, sequence: int) -> bool:
        return self._limit is not None and (self._is_full_up or sequence + 1 >= self._limit)

    def _ask_policy(self, kind: str, failed: bool) -> None:
        actions, since, size = self._since
        progress = Progress(
            actions=int(actions),
            seconds=time.monotonic() - since,
            bytes=self.live.size - int(size),
            kind=kind,
            failed=failed,
        )
        try:
            due = self._policy.after(progress)
        except Exception as error:
            self.engine.report_loss(self, error)
            return
        if due:
            self._checkpoint_quietly()

    def _checkpoint_quietly(self) -> None:
        try:
            self.checkpoint()
        except Exception as error:
            self._lose(error)

    def checkpoint(self) -> int:
        """
        Make a checkpoint of the memory as it is now; return its id.

        Raises:
            NoActiveSessionError: The session has ended.
        """
        if not self.is_open:
            raise NoActiveSessionError("for checkpoint")
        started = self._counter_ns()
        snapshot, state_hash = self._snapshot()
        sequence, identity, now = self._next(), self._next_checkpoint(), self._time_ns()
        made = Checkpoint(
            id=identity,
            session_id=self.session_id,
            at_sequence=max(0, sequence - 1),
            timestamp_ns=now,
            state_hash=state_hash,
            snapshot=snapshot,
        )
        entry = checkpoint_entry(made, with_ids=self.engine.stores_ids)
        self._append(records.sealed(records.map_body(records.CHECKPOINT, entry)))
        action = {
            "i": sequence, "k": "checkpoint", "nm": "checkpoint", "src": "replaykit", "t": now,
            "d": self._counter_ns() - started, "g": snapshot.generation, "x": {"checkpoint_id": identity},
        }  # fmt: skip
        self._append(records.sealed(records.map_body(records.ENTRY, action)))
        self._since = [0, time.monotonic(), self.live.size]
        self._last_checkpoint = sequence
        return identity

    def _snapshot(self) -> tuple[StateSnapshot, bytes]:
        source = self.engine.state_source
        if source is None:
            return StateSnapshot(), ZERO_HASH
        return source.snapshot(with_ids=self.engine.stores_ids)

    # -- by hand, and the end -------------------------------------------------

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
        from replaykit.recording.metadata import clean_metadata

        cleaned = clean_metadata(metadata, self.engine.redactor)
        self.metadata.update(cleaned)
        self._append(records.sealed(records.map_body(records.NOTE, cleaned)))

    def seal(self, *, by: str, state: str = "sealed") -> bool:
        """
        Write the end: calls still running as unfinished, then the END record; False if it had ended before.

        Never raises: what cannot be written is counted as lost, and the log
        is then recovered as interrupted.
        """
        if not self.is_open:
            return False
        self.is_open = False
        for ticket in list(self.pending.values()):
            if not ticket.finishing:
                self._keep_unfinished(ticket)
        self.sealing = Sealing(
            state=state,
            ended_ns=self._time_ns(),
            ended_by=by,
            duration_ns=self._counter_ns() - self._started,
            lost=self.lost,
            late=self.late,
            metadata=dict(self.metadata),
        )
        try:
            self._append(records.sealed(records.map_body(records.END, encode_sealing(self.sealing))))
        except Exception as error:
            self._lose(error)
        return True

    def _keep_unfinished(self, ticket: ActiveTicket) -> None:
        if self.pending.pop(ticket.sequence, None) is None:
            return
        try:
            flags = ticket.flags | UNFINISHED | (STREAM if ticket.items is not None else 0)
            packed = b"" if ticket.items is None else _packed_items(ticket.items)
            self._keep(ticket, flags, self._counter_ns() - ticket.started, -1, packed, b"")
        except Exception as error:
            self._lose(error)

    def carry(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return *function* so that, in whatever thread it runs, its calls are this session's."""
        scope = CURRENT.get()
        link = scope
        while link is not None and link.session is not self:
            link = link.outer
        carried = scope if link is not None else Scope(self, None, scope)

        def carrying(*args: Any, **kwargs: Any) -> Any:
            outer = CURRENT.get()
            CURRENT.set(carried)
            try:
                return function(*args, **kwargs)
            finally:
                if CURRENT.get() is carried:
                    CURRENT.set(outer)

        if isinstance(function, types.FunctionType):
            carrying.__name__ = function.__name__
            carrying.__doc__ = function.__doc__
        return carrying


def _packed_items(items: list[bytes]) -> bytes:
    """Return packed items as one packed list: an array header and the items behind it."""
    count = len(items)
    header = bytes((0x90 | count,)) if count < 16 else b"\xdd" + count.to_bytes(4, "big")
    return header + b"".join(items)
