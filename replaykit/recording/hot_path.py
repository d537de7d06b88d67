"""
The hot path: a plain call of an everyday session, from its arguments to its record in the log.

Agents wait for this, so it is one long function, and measured
(``benchmarks/call_cost.py``; ``docs/explanation/hot-path.md`` says what each
step costs and what was tried).  `Calls` does the same in short steps, for
every call that needs more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from replaykit.format.records import ACTION, HEAD, MAGIC, NO_NUMBER, PREFIX, checksum
from replaykit.format.values import encoder, pack_typed
from replaykit.intercept.binding import unnamed
from replaykit.intercept.recorded import Recorded
from replaykit.intercept.scope import CURRENT, Scope, leave
from replaykit.intercept.shapes import IN_STEPS, STREAMS, WAITING, Run, Waiting, continued, run_unobserved
from replaykit.intercept.steps import ENDED, kept
from replaykit.operations import Operation
from replaykit.recording.tickets import ActiveTicket

if TYPE_CHECKING:
    from replaykit.recording.calls import Calls

__all__ = ["hot_path"]

Known = Callable[[int], tuple[int, bool, Operation] | None]
"""Gives an operation's number, by its id, and whether its calls are announced; with itself, so that the id stays."""


def hot_path(calls: Calls, known: Known, append: Callable[[bytes], None]) -> Run:
    """
    Return what runs the calls of a session whole, into the log that *append* appends to.

    *known* knows the operations whose calls need no more than this: others
    go through `Calls.begin` and the ticket.
    """
    # In the closure, where a look-up costs half of that of an attribute.
    session, pending, finishing = calls, calls.pending, calls.finishing
    begins, is_over, logs, is_logged = pending.add, pending.remove, finishing.add, finishing.discard
    packb, options = encoder()
    pack_head, pack_prefix, crc = HEAD.pack, PREFIX.pack, checksum()
    time_ns, counter_ns = calls.engine.clock.time_ns, calls.engine.clock.perf_counter_ns
    next_sequence, is_suspect, most = calls.next_sequence, calls.redactor.is_suspect, calls.whole_bytes
    current, set_current = CURRENT.get, CURRENT.set

    def run(
        recorded: Recorded,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        is_awaited: bool = False,
        subject: Any = None,
    ) -> Any:
        row = known(id(recorded.operation))
        if row is None:
            return IN_STEPS
        try:
            given = recorded.exact(*args, **kwargs)
        except TypeError:
            given = unnamed(*args, **kwargs)
        outer = current()
        inner: Scope | None
        ticket = ActiveTicket()
        try:
            # First noted, then asked: an end that comes in between sees the
            # ticket and waits for it.
            begins(ticket)
            if not session.is_open:
                pending.discard(ticket)
                return IN_STEPS
            try:
                arguments = packb(given, None, options)
            except TypeError:
                arguments = pack_typed(given)
            if outer is None:
                parent = NO_NUMBER
            elif outer.session is not session:
                parent = session.parent_in(outer)
            else:
                parent = NO_NUMBER if outer.parent is None else outer.parent
            # All that an end of the session meanwhile, or a stream, needs.
            ticket.called = recorded
            ticket.arguments = arguments
            ticket.number = number = row[0]
            ticket.parent = parent
            ticket.is_translated = False
            ticket.items = None
            ticket.flags = 0
            session.latest = ticket.sequence = sequence = next_sequence()
            ticket.scope = inner = Scope(session, sequence, outer)
            if subject is not None:
                inner.subject = subject
            ticket.time_ns = wall = time_ns()
            if row[1]:
                session.announce(ticket)
            ticket.started = started = counter_ns()
        except Exception as error:
            pending.discard(ticket)
            session.lose(error)
            inner = None
        except BaseException:
            session.interrupted(ticket)
            raise
        if inner is None:
            # Out here, so that what it raises has no context of ours.
            return run_unobserved(target, args, kwargs, is_awaited)
        if not session.is_open:
            session.keep_unfinished(ticket)
            return run_unobserved(target, args, kwargs, is_awaited)
        try:
            # In here, since an interrupt may come between any two calls of ours.
            set_current(inner)
            result = target(*args, **kwargs)
            if is_awaited:
                steps = kept(result, ticket)
                item = next(steps, ENDED)
                result = ticket.value if item is ENDED else Waiting(steps, item, ticket, inner)
            # What `leave` does, without the call.
            if current() is inner:
                set_current(inner.outer)
            else:
                leave(inner)
        except BaseException as error:
            leave(inner)
            ticket.fail(error)
            raise
        if type(result) in (WAITING if is_awaited else STREAMS):
            return continued(ticket, result)
        ended = counter_ns()
        try:
            logs(ticket)
            try:
                is_over(ticket)
            except KeyError:
                # The session's end has kept it as unfinished.
                return result
            try:
                packed = b"" if result is None else packb(result, None, options)
            except TypeError:
                packed = pack_typed(result)
            generation = NO_NUMBER if recorded.generation is None else recorded.generation()
            flags = ticket.flags
            if flags:
                # Its arguments were announced; nothing else is flagged here.
                arguments = b""
            body = pack_head(
                ACTION, flags, number, sequence, parent, wall, ended - started, generation, len(arguments), len(packed)
            ) + arguments + packed  # fmt: skip
            # One scan of all there is: that it goes over the head as well
            # costs less than joining the rest first.
            if len(body) > most or is_suspect(body):
                body = session.without_secrets(ticket, ended - started, generation, arguments, packed, b"")
            append(pack_prefix(MAGIC, len(body), crc(0, body)) + body)
        except Exception as problem:
            session.lose(problem)
        except BaseException:
            session.interrupted_at_its_end(ticket)
            raise
        finally:
            is_logged(ticket)
        return result

    return run
