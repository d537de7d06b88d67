"""
One session for a whole process, and one of its own for each process that it starts.

It takes every call that no session of the program takes.  A child process
opens its session with its first call, so that one which records nothing
leaves nothing.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import attrs

from replaykit.errors import ReplaykitError
from replaykit.intercept import scope
from replaykit.intercept.coverage import Method
from replaykit.intercept.handler import Called
from replaykit.logs import get_logger
from replaykit.recording.engine import RecordingEngine
from replaykit.recording.opening import Asked
from replaykit.recording.session import ActiveSession
from replaykit.settings import Settings

__all__ = ["AmbientRecording", "Position", "number_children"]

log = get_logger("running")


@attrs.frozen(kw_only=True)
class Position:
    """
    Which process it is of a program that is recorded or played.

    ``child`` is empty for the first one; ``"2.1"`` is the first process that
    the second one started by it has started.  ``program`` is the first one's
    session.
    """

    name: str
    child: str = ""
    program: UUID | None = None

    @property
    def session_name(self) -> str:
        """What the session of this process is called: ``"agent.py"``, or ``"agent.py[2.1]"`` for a child's."""
        return f"{self.name}[{self.child}]" if self.child else self.name

    def of_child(self, number: int, program: UUID | None) -> Position:
        """Return the position of the process that is started as the *number*-th, counted from 1."""
        child = f"{self.child}.{number}" if self.child else str(number)
        return Position(name=self.name, child=child, program=self.program or program)


def number_children(started: Callable[[], None]) -> None:
    """Call the bound method *started* before each fork of this process, as long as its object lives."""
    reference = weakref.WeakMethod(started)

    def before() -> None:
        method = reference()
        if method is not None:
            method()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before)


class AmbientRecording:
    """
    Records this process into the store at *location*, from `begin` or `begin_later` to `end`.

    In a forked child it goes on by itself, in a session of the child; where
    the store is a file that the parent writes, the child is not recorded.
    """

    def __init__(
        self, location: str, options: Mapping[str, Any], position: Position, metadata: Mapping[str, Any]
    ) -> None:
        self._engine = RecordingEngine(location, Settings.of(options))
        # So that it lives as long as its session does.
        self._engine.identity = self
        self._position = position
        self._metadata = dict(metadata)
        self._session: ActiveSession | None = None
        self._children = 0
        self._is_over = False
        scope.on_fork(self._forked)
        number_children(self._count_child)

    def begin(self) -> None:
        """
        Open the session of this process.

        Raises:
            StorageError: The store cannot be written.
        """
        asked = Asked(
            name=self._position.session_name,
            metadata=self._metadata,
            adopts=True,
            is_ambient=True,
            parent_session=self._position.program,
        )
        opened = self._engine.open(asked)
        self._session = opened if isinstance(opened, ActiveSession) else None

    def begin_later(self) -> None:
        """Open the session of this process with its first call; where that fails its calls run unrecorded."""
        scope.opened(_Waiting(self._opened_now))

    def annotate(self, **metadata: Any) -> None:
        """Add to the session's metadata, if it is open; a failure is logged."""
        if self._session is None or not self._session.is_open:
            return
        try:
            self._session.annotate(metadata)
        except ReplaykitError as error:
            log.error("metadata_not_kept", error=str(error))

    def end(self) -> None:
        """End the session and publish it; once too often is fine."""
        self._is_over = True
        if self._session is not None:
            self._engine.end(self._session, by="exit")
        self._engine.close()

    def position_of_child(self) -> Position:
        """Return the position of a process that this one is about to start."""
        self._count_child()
        return self._position.of_child(self._children, None if self._session is None else self._session.session_id)

    def _count_child(self) -> None:
        self._children += 1

    def _opened_now(self) -> ActiveSession | None:
        try:
            self.begin()
        except (ReplaykitError, OSError) as error:
            log.error("process_not_recorded", child=self._position.child, error=str(error))
            return None
        return self._session

    def _forked(self) -> None:
        """Go on in a forked child, where the session is the parent's."""
        former, self._session = self._session, None
        if self._is_over:
            return
        self._position = self._position.of_child(self._children, None if former is None else former.session_id)
        self._metadata = {"child": self._position.child}
        self._children = 0
        waiting = _Waiting(self._opened_now)
        scope.opened(waiting)
        if former is not None:
            # Calls that run in the child have the parent's session around them.
            former.begin = waiting.begin  # type: ignore[method-assign]


class _Waiting:
    """Stands for the session of a process until there is a call to record."""

    is_open = True
    adopts = True
    is_ambient = True
    recorder = None
    run = None

    def __init__(self, open_session: Callable[[], ActiveSession | None]) -> None:
        self._open_session = open_session
        # A call made while the session is being opened is not recorded.
        self._opening = threading.RLock()
        self._is_asked = False
        self._session: ActiveSession | None = None

    def begin(self, called: Called, arguments: Mapping[str, Any]) -> Any:
        """Open the session, if that is still to be done, and let it take the call."""
        with self._opening:
            if not self._is_asked:
                self._is_asked = True
                self._session = self._open_session()
                # Not before: the calls of other threads wait here meanwhile.
                scope.closed(self)
        return None if self._session is None else self._session.begin(called, arguments)

    def abandon(self) -> None:
        """This is a forked child, where another one stands for its session."""

    def count_unscoped(self) -> None:
        """It takes every call: there is nothing to count."""

    def note_uncovered(self, method: Method) -> None:
        """A process that makes no other call is not recorded for this one."""

    def note_metadata(self, key: str, value: str) -> None:
        """As for a call that no map knows."""

    def note_session(self, session: Any) -> None:
        """A process that makes no call of its own has no session that could say so."""
