"""What is recorded: a function or method with its row, and how a call of it begins."""

from __future__ import annotations

from typing import Any

import attrs

from replaykit.intercept.binding import Binder, exact_binder
from replaykit.intercept.handler import Called, Ticket
from replaykit.intercept.scope import CURRENT, Scope, handler_for, leave
from replaykit.operations import Operation, said_before, with_settings

__all__ = ["Asking", "Given", "Nobody", "Of", "Recorded", "settled"]


@attrs.frozen
class Recorded(Called):
    """A recorded function or method: its row, its binder and the recorder that it is bound to."""

    bind: Binder = attrs.field(kw_only=True)
    exact: Binder = attrs.field(init=False)
    """The same, but that a call which does not fit the signature raises TypeError."""

    @exact.default
    def _exact(self) -> Binder:
        return exact_binder(self.bind)

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ticket | None:
        """Return the ticket of a call with these arguments, None if nothing observes it."""
        handler = handler_for(self.recorder)
        if handler is None:
            return None
        ticket: Ticket | None = handler.begin(self, self.bind(*args, **kwargs))
        return ticket


@attrs.frozen
class Asking(Recorded):
    """A recorded method of an object that its row asks something ``before`` a call runs, or for its ``settings``."""

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ticket | None:
        """Return the ticket of a call with these arguments, None if nothing observes it."""
        return self.begin_on(getattr(self.returns[0], "__self__", None), args, kwargs)

    def begin_on(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ticket | None:
        """Do the same for the method of *target*."""
        handler = None if _is_being_read(target) else handler_for(self.recorder)
        if handler is None:
            return None
        arguments = settled(self.operation, target, self.bind(*args, **kwargs))
        ticket: Ticket | None = handler.begin(self, arguments)
        if self.operation.before is not None and ticket is not None and ticket.answer is None:
            ticket.before = said_before(self.operation, target)  # type: ignore[attr-defined]  # what runs is recorded
        return ticket


class Nobody:
    """Stands in the chain for a session that takes no call."""

    recorder = None
    run = None
    is_open = False

    def begin(self, called: Any, arguments: Any) -> None:
        """Let the call run unobserved."""

    def note_uncovered(self, method: Any) -> None:
        """Nothing to count."""

    def note_metadata(self, key: str, value: str) -> None:
        """Nothing to note."""


class _Reading(Nobody):
    """Stands in the chain while an object's settings are read: what that asks of the object is no call."""


def settled(operation: Operation, target: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return *arguments* with what belongs of *target* itself to the call, as the row says."""
    if not operation.settings:
        return arguments
    inner = Scope(_Reading(), None, CURRENT.get())
    inner.subject = target
    CURRENT.set(inner)
    try:
        return with_settings(operation, target, arguments)
    finally:
        leave(inner)


def _is_being_read(target: Any) -> bool:
    link = CURRENT.get()
    while link is not None:
        if type(link.session) is _Reading and link.subject is target:
            return True
        link = link.outer
    return False


@attrs.frozen
class Of:
    """A recorded method that asks the object *target*, which only the caller knows."""

    recorded: Any
    target: Any

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ticket | None:
        """Return the ticket of a call with these arguments, None if nothing observes it."""
        ticket: Ticket | None = self.recorded.begin_on(self.target, args, kwargs)
        return ticket


@attrs.frozen
class Given:
    """A recorded method whose arguments were given before the call runs."""

    recorded: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def begin(self, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Ticket | None:
        """Return the ticket of the call that begins now, None if nothing observes it."""
        ticket: Ticket | None = self.recorded.begin(self.args, self.kwargs)
        return ticket
