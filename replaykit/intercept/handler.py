"""
The one contract between interception and what is done with a call.

A recording session lets the call run and keeps it; a player answers it; a
replayer lets it run and compares.  Two synchronous calls, ``begin`` and then
``finish`` or ``fail``, serve plain functions, coroutines and generators alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import attrs

from replaykit.intercept.scope import Scope
from replaykit.operations import Operation

__all__ = ["Answer", "Called", "Handler", "Ticket"]


# Made once per function, not per call: an object less to make is what a
# recorded call notices.
@attrs.frozen
class Called:
    """What is called: a row, and the recorder that it is bound to, if any."""

    operation: Operation
    recorder: Any = None
    generation: Callable[[], int] | None = None
    """Asked after the call: the memory's generation that it made or read."""
    returns: Any = None
    """The function and its return annotation, from which play may rebuild a result."""


@attrs.frozen
class Answer:
    """What a player gives back instead of running the call: a value, an exception, or the items of a stream."""

    value: Any = None
    error: BaseException | None = None
    items: Iterable[Any] | None = None
    """The items of a stream, as an iterator that takes what its consumer sends: a generator."""
    is_async: bool = False
    """Whether a plain function had handed out something to await or to iterate asynchronously."""

    def get(self) -> Any:
        """Return the value, or raise the exception."""
        if self.error is not None:
            raise self.error
        return self.value


class Ticket(Protocol):
    """One call in flight."""

    @property
    def answer(self) -> Answer | None:
        """What to give back without running the call; None to run it."""

    @property
    def scope(self) -> Scope:
        """The scope that the call runs in, so that calls inside know their parent."""

    def finish(self, result: Any) -> None:
        """The call returned; never raises because of the recording."""

    def fail(self, error: BaseException) -> None:
        """The call raised; never raises because of the recording."""

    def item(self, value: Any) -> None:
        """A stream gave one item."""

    def end(self, *, abandoned: bool = False) -> None:
        """A stream is over; *abandoned* if its consumer left early."""

    def mark_async(self) -> None:
        """A plain function handed out a coroutine or an async generator; the call goes on until that is over."""


class Handler(Protocol):
    """Takes calls."""

    run: Callable[..., Any] | None
    """Takes calls whole, if not None; see `replaykit.intercept.shapes.Run`."""

    def begin(self, called: Called, arguments: Mapping[str, Any]) -> Ticket | None:
        """
        Return the ticket of a call that begins now, None to let it run unobserved; *arguments* are by name.

        Called before the call runs, in its thread; must not block.
        """
