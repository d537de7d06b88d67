"""One call in flight: what a session remembers of it between its beginning and its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replaykit.format.records import ABANDONED, ASYNC
from replaykit.intercept.handler import Called
from replaykit.intercept.scope import Scope
from replaykit.intercept.steps import Returned

__all__ = ["ActiveTicket", "packed_items"]


class ActiveTicket(Returned):
    """
    One call in flight in an open session.

    ``given`` are its arguments by name; ``arguments`` are the same, packed
    before the call runs, and free of secrets once they are written.
    ``started`` is set last: with it, a session which ends meanwhile can keep
    the call as unfinished.  ``value`` is what the coroutine of an awaited call
    has returned.
    """

    __slots__ = (
        "arguments", "before", "called", "flags", "given", "is_translated", "item_bytes", "items", "number",
        "parent", "scope", "sequence", "started", "time_ns",
    )  # fmt: skip

    answer = None

    arguments: bytes
    before: Any
    called: Called
    flags: int
    given: Mapping[str, Any]
    is_translated: bool
    item_bytes: int
    items: list[bytes] | None
    number: int
    parent: int
    scope: Scope
    sequence: int
    started: int
    time_ns: int

    def finish(self, result: Any) -> None:
        """The call returned; never raises because of the recording."""
        self.scope.session.finish(self, result, None)

    def fail(self, error: BaseException) -> None:
        """The call raised; never raises because of the recording."""
        self.scope.session.finish(self, None, error)

    def item(self, value: Any) -> None:
        """A stream gave one item."""
        self.scope.session.take_item(self, value)

    def end(self, *, abandoned: bool = False) -> None:
        """A stream is over; *abandoned* if its consumer left early."""
        if self.items is None:
            self.items = []
        if abandoned:
            self.flags |= ABANDONED
        self.scope.session.finish(self, None, None)

    def mark_async(self) -> None:
        """A plain function handed out a coroutine or an async generator; the call goes on until that is over."""
        self.flags |= ASYNC


def packed_items(items: list[bytes]) -> bytes:
    """Return packed items as one packed list: an array header and the items behind it."""
    count = len(items)
    header = bytes((0x90 | count,)) if count < 16 else b"\xdd" + count.to_bytes(4, "big")
    return header + b"".join(items)
