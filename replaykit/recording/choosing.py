"""Choosing what to keep: which calls, and how much of a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from replaykit.intercept.handler import Called

if TYPE_CHECKING:
    from replaykit.recording.session import ActiveSession

__all__ = ["bounded", "choosing", "is_sampled"]

_SPREAD_BITS = 48


def is_sampled(session_id: UUID, share: float) -> bool:
    """
    Return whether the session is among the *share* that is recorded.

    The first 48 bits of its id decide, which are random: the same for an id
    wherever it is asked, and who is in a small share is in a larger one.
    """
    return (session_id.int >> (128 - _SPREAD_BITS)) < share * (1 << _SPREAD_BITS)


def choosing(session: ActiveSession, takes: Callable[[str, str], bool]) -> Callable[[Called, Mapping[str, Any]], Any]:
    """Return what begins the calls of *session* that *takes* takes, by kind and name, and counts the others."""
    begin = session.begin

    def begin_chosen(called: Called, arguments: Mapping[str, Any]) -> Any:
        operation = called.operation
        if session.is_open and not takes(operation.kind, operation.name):
            session.excluded += 1
            return None
        return begin(called, arguments)

    return begin_chosen


def bounded(
    append: Callable[[bytes], None], max_bytes: int | None, when_full: Callable[[], None]
) -> Callable[[bytes], None]:
    """Return *append* so that *when_full* is called once *max_bytes* were appended; that record is kept too."""
    left = max_bytes or 0

    def append_counted(record: bytes) -> None:
        nonlocal left
        append(record)
        left -= len(record)
        if left <= 0:
            when_full()

    return append_counted
