"""Whose call is running in this context: what an object calls on itself is part of that call, and not observed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from replaykit.intercept.handler import Called
from replaykit.intercept.recorded import Asking, Nobody, Recorded
from replaykit.intercept.scope import CURRENT, Scope, handler_for, leave
from replaykit.intercept.shapes import IN_STEPS, RUNNERS

__all__ = ["OnSubject", "is_inside", "part_of", "run_on", "unobserved"]


def unobserved(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call *function*; what is called in it is the library's own affair."""
    return _called_in(Scope(Nobody(), None, CURRENT.get()), function, args, kwargs)


def part_of(subject: Any, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call *function*, a method of *subject*: what that calls on itself is not observed, not by a player either."""
    inner = Scope(Nobody(), None, CURRENT.get())
    inner.subject = subject
    return _called_in(inner, function, args, kwargs)


def _called_in(inner: Scope, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    CURRENT.set(inner)
    try:
        return function(*args, **kwargs)
    finally:
        leave(inner)


def is_inside(subject: Any) -> bool:
    """Return whether a call of *subject* is running in this context: what it calls on itself is part of that."""
    link = CURRENT.get()
    while link is not None:
        if _subject_of(link) is subject:
            return True
        link = link.outer
    return False


def _subject_of(link: Scope) -> Any:
    """Return the object or module whose call *link* stands for; None where it is no call's."""
    if link.parent is None or hasattr(link, "subject"):
        return getattr(link, "subject", None)
    for ticket in list(getattr(link.session, "pending", ())):
        if getattr(ticket, "sequence", None) == link.parent:
            return _subject_of_call(ticket.called)
    return None


def _subject_of_call(called: Called) -> Any:
    """Return what a proxy stands for, one of whose calls this is: the method or function passed on to knows it."""
    subject = getattr(called.returns[0], "__self__", None) if called.returns else None
    return sys.modules.get(called.operation.source) if subject is None else subject


def run_on(recorded: Recorded, subject: Any, target: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call *target*, a plain method of *subject*, and have it recorded as `OnSubject` says."""
    handler = handler_for(recorded.recorder) if type(recorded) is Recorded and not is_inside(subject) else None
    way = None if handler is None else handler.run
    if way is not None:
        result = way(recorded, target, args, kwargs, False, subject)
        if result is not IN_STEPS:
            return result
    return RUNNERS["plain"](OnSubject(recorded, subject), target, args, kwargs)


class OnSubject:
    """A recorded method of one object; calls which that object makes inside on itself are not observed."""

    __slots__ = ("recorded", "subject")

    def __init__(self, recorded: Recorded, subject: Any) -> None:
        self.recorded = recorded
        self.subject = subject

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the ticket of a call with these arguments, None if nothing observes it."""
        if is_inside(self.subject):
            return None
        recorded = self.recorded
        if isinstance(recorded, Asking):
            ticket = recorded.begin_on(self.subject, args, kwargs)
        else:
            ticket = recorded.begin(args, kwargs)
        if ticket is not None and ticket.scope is not None:
            ticket.scope.subject = self.subject
        return ticket
