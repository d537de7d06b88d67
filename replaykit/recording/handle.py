"""The handle that ``with recorder.session(...) as session`` gives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar
from uuid import UUID

from replaykit.errors import NoActiveSessionError, RedactionError, UsageError
from replaykit.intercept.scope import CURRENT, Scope, leave
from replaykit.model import FrameId, ReplaySession
from replaykit.operations import Operation
from replaykit.recording.decorating import each_within
from replaykit.recording.engine import RecordingEngine, adopts_by_default
from replaykit.recording.keeping import is_failure
from replaykit.recording.opening import Asked
from replaykit.recording.session import ActiveSession, Unrecorded

__all__ = ["SessionHandle"]

F = TypeVar("F", bound=Callable[..., Any])


class SessionHandle:
    """
    One recording block: a context manager, an async one, and a decorator that opens a session per call.

    Leaving the block seals the session; an exception passes through and the
    session is kept.  With recording switched off everything here does
    nothing and ``id`` and ``result`` are None.
    """

    def __init__(
        self,
        engine: RecordingEngine,
        name: str | None = None,
        *,
        enabled: bool = True,
        adopt: bool | None = None,
        **options: Any,
    ) -> None:
        self._engine = engine
        self._name = name
        self._enabled = enabled
        self._adopt = adopt
        self._options = options
        self._session: ActiveSession | Unrecorded | None = None
        self._scope: Scope | None = None

    # -- the block ----------------------------------------------------------------

    def __enter__(self) -> SessionHandle:
        if self._session is not None and self._scope is not None:
            raise UsageError("this session handle is in use: ask for another one with .session(...)")
        self._session = self._opened()
        try:
            self._scope = Scope(self._session, None, CURRENT.get())
            CURRENT.set(self._scope)
            return self
        except BaseException:
            # A block that is not entered is not left either.
            self._leave("exception")
            raise

    def _opened(self) -> ActiveSession | Unrecorded:
        if not self._enabled:
            return Unrecorded(self._engine.identity)
        adopts = adopts_by_default() if self._adopt is None else self._adopt
        return self._engine.open(Asked(name=self._name, adopts=adopts, may_skip=True, **self._options))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit(error, waits=True)

    def _exit(self, error: BaseException | None, *, waits: bool) -> None:
        if self._scope is None:
            return
        try:
            if self._active is not None and self._active.keeping is not None and is_failure(error):
                self._active.keeping.keep(self._active, "exception")
            self._leave("block" if error is None else "exception", waits=waits)
        except BaseException:
            # An interrupt in the middle: the session ends all the same.
            self._leave("exception")
            raise
        if self._active is not None:
            self._engine.troubles.settle_losses(self._active, raising=error is None)

    def _leave(self, ended_by: str, *, waits: bool = False) -> None:
        if self._scope is not None:
            leave(self._scope)
        if self._active is not None:
            self._engine.end(self._active, by=ended_by, waits=waits)
        self._scope = None

    async def __aenter__(self) -> SessionHandle:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # On a loop nobody sleeps: the others go on while this one waits.
        self._exit(error, waits=False)
        if error is None:
            await _sleep(self._engine.naps())

    def __call__(self, function: F) -> F:
        """Return *function* so that each call of it is a session of its own."""
        return each_within(self._again, function)

    def _again(self) -> SessionHandle:
        return SessionHandle(self._engine, self._name, enabled=self._enabled, adopt=self._adopt, **self._options)

    # -- inside -------------------------------------------------------------------

    @property
    def _active(self) -> ActiveSession | None:
        return self._session if isinstance(self._session, ActiveSession) else None

    @property
    def opened(self) -> ActiveSession | Unrecorded | None:
        """What takes this block's calls; None before the block."""
        return self._session

    @property
    def id(self) -> UUID | None:
        """The session's id; None before the block and when nothing is recorded."""
        return None if self._active is None else self._active.session_id

    @property
    def name(self) -> str | None:
        """The session's name as it is stored, or as it was asked for before the block."""
        return self._name if self._active is None else self._active.opening.name

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The session's metadata so far, redacted."""
        return {} if self._active is None else dict(self._active.metadata)

    def annotate(self, **metadata: Any) -> None:
        """
        Add to the session's metadata.

        Raises:
            NoActiveSessionError: The session has ended, or not begun.
            UsageError: It is too large.
        """
        if isinstance(self._session, Unrecorded):
            return
        if self._active is None or not self._active.is_open:
            raise NoActiveSessionError("to annotate")
        self._active.annotate(metadata)

    def checkpoint(self) -> int:
        """
        Make a checkpoint of the memory as it is now; return its id, -1 when nothing is recorded.

        Raises:
            NoActiveSessionError: The session has ended, or not begun.
        """
        if isinstance(self._session, Unrecorded):
            return -1
        if self._active is None:
            raise NoActiveSessionError("for checkpoint")
        return self._active.checkpoint()

    def record(
        self,
        kind: str | Operation,
        *,
        name: str = "",
        arguments: Mapping[str, Any] | None = None,
        output: Any = None,
        error: BaseException | None = None,
        duration_ns: int = 0,
        affected_frames: list[FrameId] | tuple[FrameId, ...] | None = None,
    ) -> int | None:
        """
        Keep a call that you made yourself; return its sequence, None if it was not kept.

        Raises:
            UsageError: The kind is unknown.
            NoActiveSessionError: The session has not begun or has ended.
        """
        operation = kind if isinstance(kind, Operation) else _by_hand(kind, self._shown(name), affected_frames)
        if isinstance(self._session, Unrecorded):
            return None
        if self._active is None or not self._active.is_open:
            raise NoActiveSessionError("to record into")
        return self._active.record(operation, dict(arguments or {}), output, error, duration_ns)

    def _shown(self, name: str) -> str:
        redactor = self._engine.redactor if self._active is None else self._active.redactor
        try:
            return redactor.clean_text(name)
        except RedactionError:
            return redactor.failed()

    def keep(self) -> None:
        """Keep this session whatever comes, where ``keep="on_failure"`` would forget it; else nothing happens."""
        if self._active is not None and self._active.is_open and self._active.keeping is not None:
            self._active.keeping.keep(self._active, "call")

    def carry(self, function: F) -> F:
        """Return *function* so that, in whatever thread it runs, its recorded calls are this session's."""
        if self._active is None:
            return function
        return self._active.carry(function)  # type: ignore[return-value]  # same signature

    @property
    def result(self) -> ReplaySession | None:
        """
        The recorded session, once the block was left; None when nothing was recorded.

        Raises:
            UsageError: The block has not been left.
        """
        if self._session is None or (self._active is not None and self._active.is_open):
            raise UsageError("the session is not over: its result is there after the with block")
        if self._active is None or (self._active.keeping is not None and self._active.is_silent):
            return None
        return self._engine.result(self._active)

    def __repr__(self) -> str:
        return f"<session {self.name!r} {self.id}>"


async def _sleep(naps: Iterator[float]) -> None:
    """Sleep *naps* on the loop that runs here, if it is asyncio's."""
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:
        return
    for nap in naps:
        await asyncio.sleep(nap)


def _by_hand(kind: str, name: str, frames: Any) -> Operation:
    if frames is None:
        return Operation(kind=kind, name=name or kind, source="by hand")
    ids = list(frames)
    return Operation(kind=kind, name=name or kind, source="by hand", ids=lambda _arguments, _result: ids)
