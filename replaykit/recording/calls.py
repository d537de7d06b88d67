"""
The hot path: the calls of one open session, from their beginning into its log.

What happens here happens on the agent's thread, so it is long where that
saves time, and measured (``benchmarks/call_cost.py``).  Rules: never a lock,
one ``write`` per record, arguments packed before the call runs, and nothing
of ours ever reaches the caller.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from replaykit.errors import RedactionError, StorageError
from replaykit.format import records
from replaykit.format.records import ACTION, CANCELLED, FAILED, HEAD, INTENDED, MAGIC, NO_NUMBER, PREFIX, STREAM
from replaykit.format.values import encoder, pack, pack_typed
from replaykit.intercept.handler import Called
from replaykit.intercept.scope import CURRENT, Scope
from replaykit.intercept.shapes import Run
from replaykit.model import MAX_BODY_BYTES, Opaque
from replaykit.operations import Operation, frozen, live_facts
from replaykit.pipeline import RawCall, entry_of
from replaykit.protocols import Log
from replaykit.recording.checkpoints import Checkpoints
from replaykit.recording.choosing import bounded
from replaykit.recording.hot_path import hot_path
from replaykit.recording.ring import Ring
from replaykit.recording.tickets import ActiveTicket, packed_items
from replaykit.redactors import Redactor

if TYPE_CHECKING:
    from replaykit.recording.engine import RecordingEngine

__all__ = ["Calls"]

_MAX_STREAM_BYTES = 64 * 1024 * 1024
"""Items of a stream beyond this are not kept; the action says ``cut``."""

_MOST_OPERATIONS = 4096
_CANCELLED_NAMES = frozenset({"CancelledError", "Cancelled"})
_NO_FLAGS: frozenset[str] = frozenset()
_DROPPED = Opaque(reason="object", type_name="replaykit.RedactionError")


class Calls(ABC):
    """
    What an open session does with calls; ``begin`` and the tickets may be used from any thread and at any moment.

    Attributes:
        pending: Calls that run.
        finishing: Calls and checkpoints that are being logged right now; the
            log is complete once the session has ended and both are empty.
        lost: Actions that could not be kept as they were.
    """

    def __init__(
        self,
        engine: RecordingEngine,
        redactor: Redactor,
        *,
        checkpoints: Checkpoints,
        first_sequence: int = 0,
    ) -> None:
        self.engine = engine
        self.redactor = redactor
        self.recorder = engine.identity
        self.is_open = True
        self.lost = 0
        self.pending: set[ActiveTicket] = set()
        self.finishing: set[object] = set()
        self.next_sequence = itertools.count(first_sequence).__next__
        self.latest = -1
        self._next_number = itertools.count().__next__
        self._numbers: dict[int, tuple[int, bool, bool, Operation]] = {}
        self._plain: dict[int, tuple[int, bool, Operation]] = {}
        self.run: Run | None = None
        self._rows: dict[str, int] = {}
        self._checkpoints = checkpoints
        self._policy = checkpoints.policy
        self._limit = checkpoints.limit
        # Bound once: looking these up costs more than the calls themselves.
        self._packb, self._options = encoder()
        self._checksum = records.checksum()
        self._is_suspect = redactor.is_suspect
        self._time_ns = engine.clock.time_ns
        self._counter_ns = engine.clock.perf_counter_ns
        settings = engine.settings
        # How large a body may be to be logged as it is; below 0 none is.
        most = settings.max_action_bytes or records.MAX_RECORD_BYTES
        self.whole_bytes = -1 if settings.capture != "full" else min(most + HEAD.size, records.MAX_RECORD_BYTES)
        self._has_bounds = not (self._policy is None and self._limit is None and settings.max_session_bytes is None)

    @abstractmethod
    def lose(self, error: BaseException) -> None:
        """Count an action that could not be kept, or not as it was."""

    @abstractmethod
    def _refuse(self) -> None:
        """A call begins after the end."""

    @abstractmethod
    def _turn_away(self, ticket: ActiveTicket) -> None:
        """The session is full: end it at the next boundary."""

    @abstractmethod
    def _before_call(self, operation: Operation) -> None:
        """Ask the policy, which there is, about a top-level call that begins."""

    @abstractmethod
    def _after_call(self, ticket: ActiveTicket, *, failed: bool) -> None:
        """Ask the policy and the limit about a top-level call that is over."""

    def log_into(self, live: Log) -> None:
        """Append to *live* from now on."""
        settings = self.engine.settings
        is_held = isinstance(live, Ring)
        self.live = live
        # What is held in RAM no crash leaves: there is nothing to announce.
        self._intent = settings.intent and not is_held
        self._forget_numbers()
        self._sync = live.sync if settings.durability == "always" else None
        is_bounded = settings.max_session_bytes is not None and not is_held
        self._append = bounded(live.append, settings.max_session_bytes, self._fill) if is_bounded else live.append
        asks = self._has_bounds or settings.include or settings.exclude
        is_everyday = not (asks or is_held or settings.durability == "always" or self.whole_bytes < 0)
        self.run = hot_path(self, self._plain.get, live.append) if is_everyday else None

    def _fill(self) -> None:
        """Take no more calls: enough was logged."""
        self._limit = 0
        self._checkpoints.is_full = True

    # -- what a recorded call waits for ---------------------------------------------

    def begin(self, called: Called, arguments: Mapping[str, Any]) -> ActiveTicket | None:
        """Return the ticket of a call that begins now; None when it is not recorded."""
        ticket = ActiveTicket()
        try:
            # First noted, then asked: an end that comes in between sees the
            # ticket and waits for it.
            self.pending.add(ticket)
            if not self.is_open:
                self.pending.discard(ticket)
                self._refuse()
                return None
            outer = CURRENT.get()
            parent = self.parent_in(outer)
            operation = called.operation
            if self._policy is not None and parent < 0:
                self._before_call(operation)
            known = self._numbers.get(id(operation)) or self._define(operation)
            ticket.number, is_announced, ticket.is_translated, _ = known
            try:
                ticket.arguments = self._packb(arguments, None, self._options)
            except TypeError:
                ticket.arguments = pack_typed(arguments)
            ticket.called = called
            ticket.given = arguments
            ticket.before = ticket.items = None
            ticket.flags = 0
            ticket.parent = parent
            self.latest = ticket.sequence = sequence = self.next_sequence()
            if self._limit is not None and sequence >= self._limit:
                self._turn_away(ticket)
                return None
            ticket.scope = Scope(self, sequence, outer)
            ticket.time_ns = self._time_ns()
            if is_announced:
                self.announce(ticket)
            ticket.started = self._counter_ns()
        except Exception as error:
            self.pending.discard(ticket)
            self.lose(error)
            return None
        except BaseException:
            self.interrupted(ticket)
            raise
        if not self.is_open:
            self.keep_unfinished(ticket)
            return None
        return ticket

    def finish(self, ticket: ActiveTicket, result: Any, error: BaseException | None) -> None:
        """Keep a call that is over; nothing happens if the session's end has kept it as unfinished."""
        ended = self._counter_ns()
        try:
            self.finishing.add(ticket)
            try:
                self.pending.remove(ticket)
            except KeyError:
                return
            called = ticket.called
            facts = b""
            if error is not None or ticket.items is not None:
                packed, facts = _unusual(ticket, error)
            else:
                kept = frozen(called.operation, result) if ticket.is_translated else result
                try:
                    packed = b"" if kept is None else self._packb(kept, None, self._options)
                except TypeError:
                    packed = pack_typed(kept)
            generation = NO_NUMBER if called.generation is None else called.generation()
            if ticket.is_translated and error is None:
                found = live_facts(called.operation, ticket.given, result, ticket.before)
                facts = b"" if found is None else pack(found)
            self._keep(ticket, ended - ticket.started, generation, packed, facts)
        except Exception as problem:
            self.lose(problem)
        except BaseException:
            self.interrupted_at_its_end(ticket)
            raise
        finally:
            self.finishing.discard(ticket)
        if self._has_bounds and ticket.parent < 0:
            self._after_call(ticket, failed=error is not None)

    def _keep(self, ticket: ActiveTicket, duration_ns: int, generation: int, packed: bytes, facts: bytes) -> None:
        """Append the record of a call that is over, free of secrets."""
        flags = ticket.flags
        arguments = b"" if flags & INTENDED else ticket.arguments
        body = HEAD.pack(
            ACTION, flags, ticket.number, ticket.sequence, ticket.parent, ticket.time_ns, duration_ns,
            generation, len(arguments), len(packed),
        ) + arguments + packed  # fmt: skip
        is_large = len(body) > self.whole_bytes
        if facts:
            body += facts
        # One scan of all there is. That it goes over the head as well costs
        # less than joining the rest first.
        if is_large or self._is_suspect(body):
            body = self.without_secrets(ticket, duration_ns, generation, arguments, packed, facts)
        self._append(PREFIX.pack(MAGIC, len(body), self._checksum(0, body)) + body)
        if self._sync is not None:
            self._sync()

    # -- what few calls need ------------------------------------------------------------

    def parent_in(self, link: Scope | None) -> int:
        """Return the sequence of the call of this session that runs in the chain from *link* on, -1 without one."""
        while link is not None:
            if link.session is self:
                return NO_NUMBER if link.parent is None else link.parent
            link = link.outer
        return NO_NUMBER

    def interrupted(self, ticket: ActiveTicket) -> None:
        """An interrupt in our own code, before the call: it does not run, and yet is kept if it has its number."""
        if hasattr(ticket, "sequence"):
            ticket.time_ns, ticket.started = self._time_ns(), self._counter_ns()
            self.keep_unfinished(ticket)
        self.pending.discard(ticket)

    def interrupted_at_its_end(self, ticket: ActiveTicket) -> None:
        """The same behind it: it is kept as unfinished, at the session's end or, where that has passed, now."""
        self.pending.add(ticket)
        if not self.is_open:
            self.keep_unfinished(ticket)

    def announce(self, ticket: ActiveTicket) -> None:
        """Log that a call is about to run, so that the one in flight at a crash is known."""
        ticket.arguments = arguments = self._cleaned(ticket.arguments, is_map=True)
        is_whole = len(arguments) + HEAD.size <= self.whole_bytes
        flags = 0 if is_whole or self.whole_bytes < 0 else records.CUT
        head = HEAD.pack(
            records.INTENT, flags, ticket.number, ticket.sequence, ticket.parent, ticket.time_ns, 0, -1,
            len(arguments) if is_whole else 0, 0,
        )  # fmt: skip
        self._append(records.sealed(head + arguments if is_whole else head))
        if is_whole:
            ticket.flags |= INTENDED

    def without_secrets(
        self, ticket: ActiveTicket, duration_ns: int, generation: int, arguments: bytes, packed: bytes, facts: bytes
    ) -> bytes:
        """Return the body of a record that holds no secrets, and bodies only as large as they may be."""
        arguments = self._cleaned(arguments, is_map=True)
        packed = self._cleaned(packed)
        facts = self._cleaned(facts, is_map=not ticket.flags & FAILED)
        if len(arguments) + len(packed) + HEAD.size > self.whole_bytes:
            arguments = arguments or ticket.arguments
            return self._described(ticket, duration_ns, generation, arguments, packed, facts)
        body = records.action_body(
            ACTION, flags=ticket.flags, operation=ticket.number, sequence=ticket.sequence, parent=ticket.parent,
            time_ns=ticket.time_ns, duration_ns=duration_ns, generation=generation, arguments=arguments, result=packed,
            facts=facts,
        )  # fmt: skip
        return _of_bearable_size(body)

    def _described(
        self, ticket: ActiveTicket, duration_ns: int, generation: int, arguments: bytes, packed: bytes, facts: bytes
    ) -> bytes:
        """Return the body of a record without bodies, none of which may reach the disk, or with bodies cut."""
        failed = bool(ticket.flags & FAILED)
        call = RawCall(
            sequence=ticket.sequence,
            definition=self._row_of(ticket.called.operation),
            time_ns=ticket.time_ns,
            duration_ns=duration_ns,
            parent=None if ticket.parent < 0 else ticket.parent,
            generation=None if generation < 0 else generation,
            arguments=arguments,
            output=facts if failed else packed,
            error=packed if failed else b"",
            facts=b"" if failed else facts,
            flags=_named(ticket.flags) if ticket.flags else _NO_FLAGS,
        )
        limit = self.engine.settings.max_action_bytes or MAX_BODY_BYTES
        entry = entry_of(call, capture=self.engine.settings.capture, hasher=self.engine.lease.hasher, limit=limit)
        return _of_bearable_size(records.map_body(records.ENTRY, entry))

    def _cleaned(self, packed: bytes, *, is_map: bool = False) -> bytes:
        """Return *packed* without secrets; a redactor that fails costs the whole payload, which then counts as lost."""
        if not packed:
            return packed
        try:
            return self.redactor.clean_packed(packed)
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
            kept = frozen(ticket.called.operation, value) if ticket.is_translated else value
            try:
                packed = self._packb(kept, None, self._options)
            except TypeError:
                packed = pack_typed(kept)
        except Exception as error:
            self.lose(error)
            return
        ticket.item_bytes += len(packed)
        if ticket.item_bytes > _MAX_STREAM_BYTES:
            ticket.flags |= records.CUT
            return
        ticket.items.append(packed)

    def keep_unfinished(self, ticket: ActiveTicket) -> None:
        """Keep a call that still runs, with the items so far, unless its own thread is just keeping it."""
        try:
            self.finishing.add(ticket)
            self.pending.remove(ticket)
            packed = b"" if ticket.items is None else packed_items(ticket.items)
            ticket.flags |= records.UNFINISHED | (STREAM if ticket.items is not None else 0)
            self._keep(ticket, self._counter_ns() - ticket.started, NO_NUMBER, packed, b"")
        except KeyError:
            return
        except Exception as error:
            self.lose(error)
        finally:
            self.finishing.discard(ticket)

    # -- other records ------------------------------------------------------------------

    def _define(self, operation: Operation) -> tuple[int, bool, bool, Operation]:
        row = self._row_of(operation)
        said = repr(row)
        number = self._rows.get(said)
        if number is None:
            number = self._next_number()
            self.write(records.DEFINE, {"n": number, "row": row})
            self._rows[said] = number
        if len(self._numbers) >= _MOST_OPERATIONS:
            # Each call that is recorded by hand brings an operation of its own.
            self._forget_numbers()
        known = (number, self._intent and operation.is_announced, operation.is_translated, operation)
        # The row is kept beside its number: an id may be reused once its object is gone.
        self._numbers[id(operation)] = known
        if not operation.is_translated:
            self._plain[id(operation)] = number, known[1], operation
        return known

    def _forget_numbers(self) -> None:
        self._numbers.clear()
        self._plain.clear()

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
            self._append(records.sealed(records.map_body(what, content)))
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


def _named(flags: int) -> frozenset[str]:
    return frozenset(name for bit, name in records.FLAG_NAMES.items() if flags & bit)


def _of_bearable_size(body: bytes) -> bytes:
    if len(body) > records.MAX_RECORD_BYTES:
        raise ValueError(f"the call holds {len(body)} bytes; at most {records.MAX_RECORD_BYTES} are kept")
    return body


def _unusual(ticket: ActiveTicket, error: BaseException | None) -> tuple[bytes, bytes]:
    """Flag a call that failed or streamed; return its packed error or items, and the items of a failed stream."""
    items = b"" if ticket.items is None else packed_items(ticket.items)
    if ticket.items is not None:
        ticket.flags |= STREAM
    if error is None:
        return items, b""
    ticket.flags |= FAILED | (CANCELLED if type(error).__name__ in _CANCELLED_NAMES else 0)
    return pack(error), items
