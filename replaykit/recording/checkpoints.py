"""The checkpoints of one open session: policies ask for them, users make them; and the limit that ends a session."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

from replaykit.errors import NoActiveSessionError
from replaykit.format import records
from replaykit.format.actions import checkpoint_entry
from replaykit.model import ZERO_HASH, Checkpoint, StateSnapshot
from replaykit.operations import Operation
from replaykit.protocols import PendingCall, Progress

if TYPE_CHECKING:
    from replaykit.recording.session import ActiveSession
    from replaykit.recording.tickets import ActiveTicket

__all__ = ["Checkpoints"]


class Checkpoints:
    """
    Makes the checkpoints of one session, and ends it when it is full.

    Each method is told which session that is: two objects that hold each
    other are memory until the garbage collector comes by.

    Attributes:
        policy: Asked before and after each top-level call; None without one.
        limit: The first sequence that the session does not take; None without one.
        is_full: Whether a call was turned away because of the limit, or enough was logged.
    """

    def __init__(self, *, policy: Any, limit: int | None, first_id: int) -> None:
        self.policy = policy
        self.limit = limit
        self.is_full = False
        self._next_id = itertools.count(first_id).__next__
        self._newest = -1
        self._asking = threading.Lock()
        self._actions = 0
        self._since = time.monotonic()
        self._size = 0

    def before(self, session: ActiveSession, operation: Operation) -> None:
        """Make a checkpoint before a call if the policy wants one."""
        try:
            is_due = self.policy.before(PendingCall(kind=operation.kind, name=operation.name))
        except Exception as error:
            session.engine.troubles.report_loss(session, error)
            return
        if is_due:
            self._make_quietly(session)

    def after(self, session: ActiveSession, ticket: ActiveTicket, *, failed: bool) -> None:
        """Ask the policy and the limit; a thread that finds another one asking leaves it to that one."""
        self._actions += 1
        if self.policy is not None and not self._is_reached(ticket.sequence) and self._asking.acquire(blocking=False):
            try:
                self._ask(session, ticket.called.operation.kind, failed)
            finally:
                self._asking.release()
        if session.is_open and self._is_reached(max(ticket.sequence, self._newest)):
            session.engine.end(session, by="limit", waits=False)

    def _is_reached(self, sequence: int) -> bool:
        return self.is_full or (self.limit is not None and sequence + 1 >= self.limit)

    def _ask(self, session: ActiveSession, kind: str, failed: bool) -> None:
        try:
            progress = Progress(
                actions=self._actions,
                seconds=time.monotonic() - self._since,
                bytes=session.live.size - self._size,
                kind=kind,
                failed=failed,
            )
            is_due = self.policy.after(progress)
        except Exception as error:
            session.engine.troubles.report_loss(session, error)
            return
        if is_due:
            self._make_quietly(session)

    def _make_quietly(self, session: ActiveSession) -> None:
        try:
            self.make(session)
        except Exception as error:
            session.lose(error)

    def make(self, session: ActiveSession) -> int:
        """
        Make a checkpoint of the memory as it is now; return its id.

        Raises:
            NoActiveSessionError: The session has ended.
        """
        # The end of the session waits for this as it does for a call.
        token = object()
        try:
            session.finishing.add(token)
            if not session.is_open:
                raise NoActiveSessionError("for checkpoint")
            return self._made(session)
        finally:
            session.finishing.discard(token)

    def _made(self, session: ActiveSession) -> int:
        clock = session.engine.clock
        started = clock.perf_counter_ns()
        snapshot, state_hash = _snapshot(session)
        sequence, identity, now = session.next_sequence(), self._next_id(), clock.time_ns()
        made = Checkpoint(
            id=identity,
            session_id=session.session_id,
            at_sequence=max(0, sequence - 1),
            timestamp_ns=now,
            state_hash=state_hash,
            snapshot=snapshot,
        )
        session.write(records.CHECKPOINT, checkpoint_entry(made, with_ids=session.engine.stores_ids))
        action = {
            "i": sequence, "k": "checkpoint", "nm": "checkpoint", "src": "replaykit", "t": now,
            "d": clock.perf_counter_ns() - started, "g": snapshot.generation, "x": {"checkpoint_id": identity},
        }  # fmt: skip
        session.write(records.ENTRY, action)
        session.sync_if_promised()
        self._actions, self._since, self._size = 0, time.monotonic(), session.live.size
        self._newest = sequence
        return identity


def _snapshot(session: ActiveSession) -> tuple[StateSnapshot, bytes]:
    source = session.engine.state_source
    # Where nothing is stored the memory, which may be absent, is left alone.
    if source is None or session.is_silent:
        return StateSnapshot(), ZERO_HASH
    return source.snapshot(with_ids=session.engine.stores_ids)
