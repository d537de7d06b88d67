"""Which recorded call answers next: first in, first out per key, each once."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Literal

__all__ = ["Names", "OnRepeat", "Turns"]

OnRepeat = Literal["error", "last", "cycle"]
Names = frozenset[str]

_ROW_BYTES = 24


class Turns:
    """
    The recorded calls that wait to be asked for, by position.

    A key says what a call asked, but for arguments that do not count; which
    those are is the called function's to say, so there is one index for each
    set of them.  Not for several threads at once.
    """

    def __init__(self, on_repeat: OnRepeat) -> None:
        self._on_repeat = on_repeat
        self._waiting: dict[Names, _Index] = {}
        self._is_taken = bytearray()
        self._answered: dict[tuple[Names, bytes], list[int]] = {}
        self._cycle: dict[tuple[Names, bytes], int] = {}

    def knows(self, ignored: Names) -> bool:
        """Whether there is an index without the arguments *ignored*."""
        return ignored in self._waiting

    def add(self, ignored: Names, keyed: Iterable[tuple[bytes, int]]) -> None:
        """Make the index without the arguments *ignored*: key and position of each call, in order."""
        index = self._waiting[ignored] = _Index(keyed)
        self._is_taken.extend(bytes(max(0, index.beyond - len(self._is_taken))))

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
        waiting = (each for each in self._waiting[ignored].positions(key) if not self._is_taken[each])
        answered = self._answered.get((ignored, key), ())
        return next(waiting, answered[-1] if answered else None)

    def _next(self, index: _Index, key: bytes) -> int | None:
        for position in index.positions(key):
            # It may have been taken under a key of another index.
            if not self._is_taken[position]:
                self._is_taken[position] = 1
                return position
        return None


class _Index:
    """
    The positions of the calls of each key, in order.

    Columns that are sorted by what stands for the key: 24 bytes a call, where
    a dict takes eight times as much.

    Attributes:
        beyond: What all positions are below.
    """

    def __init__(self, keyed: Iterable[tuple[bytes, int]]) -> None:
        self._keys, self._rest, self._positions = array("Q"), array("Q"), array("Q")
        for numbers in _sorted_rows(keyed):
            self._keys.extend(numbers[::3])
            self._rest.extend(numbers[1::3])
            self._positions.extend(numbers[2::3])
        self._passed: dict[int, int] = {}
        self.beyond = max(self._positions, default=-1) + 1

    def positions(self, key: bytes) -> Iterator[int]:
        """Yield the positions of *key*; those before the last that was looked at are not there any more next time."""
        short = _short(key)
        half, rest = int.from_bytes(short[:8], "big"), int.from_bytes(short[8:], "big")
        first = bisect_left(self._keys, half)
        if first == len(self._keys) or self._keys[first] != half:
            return
        stop = first + 1
        if stop < len(self._keys) and self._keys[stop] == half:
            # Rows of one first half are sorted by the other.
            stop = bisect_right(self._keys, half, first)
            first, stop = bisect_left(self._rest, rest, first, stop), bisect_right(self._rest, rest, first, stop)
        elif self._rest[first] != rest:
            return
        for row in range(self._passed.get(first, first), stop):
            if row > first:
                self._passed[first] = row
            yield self._positions[row]


def _sorted_rows(keyed: Iterable[tuple[bytes, int]]) -> Iterator[array[int]]:
    """Yield both halves of what stands for a key, and its position, for each key in order; some rows at once."""
    # In heaps by their first byte: as objects, which take four times as much,
    # there is never more than one heap.
    heaps: defaultdict[int, bytearray] = defaultdict(bytearray)
    for key, position in keyed:
        short = _short(key)
        heaps[short[0]] += short + position.to_bytes(8, "big")
    for number in sorted(heaps):
        heap = heaps.pop(number)
        rows = sorted(bytes(heap[at : at + _ROW_BYTES]) for at in range(0, len(heap), _ROW_BYTES))
        numbers = array("Q", b"".join(rows))
        if sys.byteorder == "little":
            numbers.byteswap()
        yield numbers


def _short(key: bytes) -> bytes:
    """Return 16 bytes that agree for two keys just if these do."""
    return blake2b(key, digest_size=16).digest()
