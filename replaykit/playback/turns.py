"""Which recorded call answers next: first in, first out per key, each once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal

__all__ = ["Names", "OnRepeat", "Turns"]

OnRepeat = Literal["error", "last", "cycle"]
Names = frozenset[str]


class Turns:
    """
    The recorded calls that wait to be asked for, by position.

    A key says what a call asked, but for arguments that do not count; which
    those are is the called function's to say, so there is one index for each
    set of them.  Not for several threads at once.
    """

    def __init__(self, on_repeat: OnRepeat) -> None:
        self._on_repeat = on_repeat
        # A position alone for the many keys that were asked once.
        self._waiting: dict[Names, dict[bytes, int | deque[int]]] = {}
        self._taken: set[int] = set()
        self._answered: dict[tuple[Names, bytes], list[int]] = {}
        self._cycle: dict[tuple[Names, bytes], int] = {}

    def knows(self, ignored: Names) -> bool:
        """Whether there is an index without the arguments *ignored*."""
        return ignored in self._waiting

    def add(self, ignored: Names, keyed: Iterable[tuple[bytes, int]]) -> None:
        """Make the index without the arguments *ignored*: key and position of each call, in order."""
        index: dict[bytes, int | deque[int]] = {}
        for key, position in keyed:
            before = index.setdefault(key, position)
            if before is position:
                continue
            if isinstance(before, deque):
                before.append(position)
            else:
                index[key] = deque((before, position))
        self._waiting[ignored] = index

    def take(self, ignored: Names, key: bytes) -> int | None:
        """Return the position of the call that answers *key* now; None when none does."""
        position = self._next(self._waiting[ignored], key)
        if self._on_repeat == "error":
            return position
        answered = self._answered.setdefault((ignored, key), [])
        if position is not None:
            answered.append(position)
            return position
        if not answered or self._on_repeat == "last":
            return answered[-1] if answered else None
        turn = self._cycle.get((ignored, key), 0)
        self._cycle[ignored, key] = turn + 1
        return answered[turn % len(answered)]

    def peek(self, ignored: Names, key: bytes) -> int | None:
        """Return what `take` would, for a key that is not cycled through, and take nothing."""
        found = self._waiting[ignored].get(key)
        waiting = found if isinstance(found, deque) else () if found is None else (found,)
        answered = self._answered.get((ignored, key), ())
        return next((each for each in waiting if each not in self._taken), answered[-1] if answered else None)

    def _next(self, index: dict[bytes, int | deque[int]], key: bytes) -> int | None:
        found = index.get(key)
        waiting = found if isinstance(found, deque) else deque(() if found is None else (found,))
        while waiting:
            position = waiting.popleft()
            # It may have been taken under a key of another index.
            if position not in self._taken:
                self._taken.add(position)
                return position
        return None
