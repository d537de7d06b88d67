"""Whose call is running in this context: what an object calls on itself is part of that call, and not observed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from replaykit.intercept.scope import CURRENT, Scope, leave

__all__ = ["is_inside", "part_of", "unobserved"]


class _Nobody:
    """Stands in the chain for a session that takes no call."""

    recorder = None
    is_open = False

    def begin(self, call: Any) -> None:
        """Let the call run unobserved."""

    def note_uncovered(self, method: Any) -> None:
        """Nothing to count."""

    def note_metadata(self, key: str, value: str) -> None:
        """Nothing to note."""


def unobserved(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call *function*; what is called in it is the library's own affair."""
    return _called_in(Scope(_Nobody(), None, CURRENT.get()), function, args, kwargs)


def part_of(subject: Any, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call *function*, a method of *subject*: what that calls on itself is not observed, not by a player either."""
    inner = Scope(_Nobody(), None, CURRENT.get())
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
    """Return the object whose call *link* stands for; None where it is a function's, or no call's."""
    if link.parent is None or hasattr(link, "subject"):
        return getattr(link, "subject", None)
    # A proxy's call: the method that it passes on to knows its object.
    for ticket in list(getattr(link.session, "pending", ())):
        if getattr(ticket, "sequence", None) == link.parent:
            return getattr(ticket.call.returns[0], "__self__", None) if ticket.call.returns else None
    return None
