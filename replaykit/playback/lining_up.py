"""
Lines up two sessions, however long: which action of one is held against which of the other.

Where both go on alike nothing is decoded.  Elsewhere some thousands of actions
of each are looked at together, so what is in memory does not grow with what
differs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

import attrs

from replaykit.format.likeness import LIKENESS_BYTES
from replaykit.playback.alignment import Pair, Pairs, align

__all__ = ["Paired", "Recognised", "Side", "line_up"]

_WINDOW = 8192
"""So many actions of each session are lined up together at most; usually what differs is short, and a few do."""

_SHARES = (32, 4, 1)

_FURTHER = 1 << 18
"""Where these have nothing in common, so many more are searched for where both go on alike."""

_PROBES = (0, *(1 << power for power in range(_WINDOW.bit_length() - 1)))
_ALIKE = 4
_CHUNK = 4096 * LIKENESS_BYTES

Recognised = tuple[bytes, bytes]
"""What an action asked, and all that counts of it."""


class Side:
    """
    One session's actions by position.

    *likenesses* has 16 bytes for each, which agree only where all that counts
    does; *recognise* reads the action at a position.
    """

    def __init__(self, likenesses: bytes | bytearray, recognise: Callable[[int], Recognised]) -> None:
        self.likenesses = likenesses
        self.recognise = recognise

    def __len__(self) -> int:
        return len(self.likenesses) // LIKENESS_BYTES

    def window(self, begin: int, end: int) -> tuple[list[bytes], list[bytes]]:
        """Return what the actions from *begin* to *end* asked, and all that counts of them."""
        found = [self.recognise(at) for at in range(begin, end)]
        return [asked for asked, _ in found], [whole for _, whole in found]


@attrs.frozen
class _Run:
    """So many pairs, one after the other on both sides; equal ones need no look."""

    first: int
    second: int
    count: int
    is_equal: bool


class Paired(Pairs):
    """Pairs of positions, both ascending, kept as runs."""

    def __init__(self) -> None:
        self.runs: list[_Run] = []
        self._starts: list[int] = []
        self._length = 0

    def add(self, pair: Pair, count: int = 1, *, is_equal: bool) -> None:
        """Add *count* pairs from *pair* on, which stands behind all others."""
        last = self.runs[-1] if self.runs else None
        if (
            last is not None
            and last.is_equal == is_equal
            and (last.first + last.count, last.second + last.count) == pair
        ):
            self.runs[-1] = _Run(last.first, last.second, last.count + count, is_equal)
        elif count:
            self.runs.append(_Run(*pair, count, is_equal))
            self._starts.append(self._length)
        self._length += count

    def __len__(self) -> int:
        return self._length

    def pair_at(self, position: int) -> Pair:
        """Return the pair at a position."""
        number = bisect_right(self._starts, position) - 1
        run, skipped = self.runs[number], position - self._starts[number]
        return run.first + skipped, run.second + skipped

    def stretches(self) -> Iterator[tuple[Pair, int]]:
        """Yield where each run of equal pairs begins and how long it is, and each other pair with a 0."""
        for run in self.runs:
            if run.is_equal:
                yield (run.first, run.second), run.count
            else:
                yield from (((run.first + at, run.second + at), 0) for at in range(run.count))

    def left_over(self, lengths: Pair) -> tuple[list[range], list[range]]:
        """Return the positions that are in no pair, of sessions that are so long."""
        ends = _Run(*lengths, 0, True)
        befores = [(0, 0), *((run.first + run.count, run.second + run.count) for run in self.runs)]
        gaps = list(zip(befores, [*self.runs, ends], strict=True))
        in_first = [range(before[0], run.first) for before, run in gaps if before[0] < run.first]
        return in_first, [range(before[1], run.second) for before, run in gaps if before[1] < run.second]


def line_up(first: Side, second: Side) -> Paired:
    """
    Return who is held against whom: what is equal, and between that what was asked in the same words.

    The other way round the same pairs are found, turned.
    """
    found = Paired()
    at = (0, 0)
    shares: Sequence[int] = _SHARES
    while True:
        equal = _equal_from(first, second, at)
        found.add(at, equal, is_equal=True)
        at = (at[0] + equal, at[1] + equal)
        if at[0] == len(first) or at[1] == len(second):
            return found
        window = _settled_window(first, second, at, shares)
        for pair, is_equal in window.pairs():
            found.add(pair, is_equal=is_equal)
        at = window.end
        # Behind a window that is mostly different comes another, likely.
        shares = _SHARES if window.is_settled else _SHARES[-1:]


def _settled_window(first: Side, second: Side, at: Pair, shares: Sequence[int]) -> _Window:
    """Return the smallest window, of those *shares* of the largest, in which most goes on alike; else the last."""
    for share in shares:
        window = _Window(first, second, at, _WINDOW // share)
        if window.is_settled:
            break
    return window


def _equal_from(first: Side, second: Side, at: Pair) -> int:
    """Return how many actions from *at* on are equal, one by one."""
    rest = min(len(first) - at[0], len(second) - at[1])
    count = 0
    while count < rest:
        count = min(rest, count + _alike_from(first, second, (at[0] + count, at[1] + count)))
        if count == rest or first.recognise(at[0] + count)[1] != second.recognise(at[1] + count)[1]:
            return count
        count += 1
    return count


def _alike_from(first: Side, second: Side, at: Pair) -> int:
    mine, its = at[0] * LIKENESS_BYTES, at[1] * LIKENESS_BYTES
    passed = 0
    while True:
        ours = first.likenesses[mine + passed : mine + passed + _CHUNK]
        theirs = second.likenesses[its + passed : its + passed + _CHUNK]
        if ours != theirs or not ours:
            return (passed + _alike_bytes(ours, theirs)) // LIKENESS_BYTES
        passed += len(ours)


def _alike_bytes(ours: bytes | bytearray, theirs: bytes | bytearray) -> int:
    low, high = 0, min(len(ours), len(theirs))
    while low < high:
        middle = (low + high + 1) // 2
        if ours[low:middle] == theirs[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _meetings(first: Side, second: Side, at: Pair) -> Iterator[Pair]:
    """Yield, relative to *at*, where actions that *second* has next come in *first*, and both go on alike."""
    begin = at[0] * LIKENESS_BYTES
    for probe in _PROBES:
        place = (at[1] + probe) * LIKENESS_BYTES
        likeness = second.likenesses[place : place + LIKENESS_BYTES]
        if not likeness:
            return
        found = first.likenesses.find(likeness, begin, begin + _FURTHER * LIKENESS_BYTES) - begin
        if found < 0 or found % LIKENESS_BYTES:
            continue
        pair = found // LIKENESS_BYTES, probe
        rest = min(len(first) - at[0] - pair[0], len(second) - at[1] - probe)
        if _alike_from(first, second, (at[0] + pair[0], at[1] + probe)) >= min(_ALIKE, rest):
            yield pair


class _Window:
    """
    Some actions of both sides, lined up.

    Attributes:
        end: Up to where they were.
        is_settled: Most of them are equal, or there are no more.
    """

    def __init__(self, first: Side, second: Side, at: Pair, size: int) -> None:
        self._sides = first, second
        self._at = at
        self._size = size
        stops = min(at[0] + size, len(first)), min(at[1] + size, len(second))
        self._first, self._second = first.window(at[0], stops[0]), second.window(at[1], stops[1])
        self._equal = align(self._first[1], self._second[1])
        is_all = stops == (len(first), len(second))
        self._end = (stops[0] - at[0], stops[1] - at[1])
        self.is_settled = is_all or 2 * len(self._equal) > size
        if not is_all:
            self._cut()
        self.end = (at[0] + self._end[0], at[1] + self._end[1])

    def _cut(self) -> None:
        """
        Leave the rest for the next window: near its end it is not seen what comes behind.

        A quarter of it is passed in any case, so that no session takes long.
        """
        sure = [pair for pair in self._equal if max(pair) < self._size * 3 // 4]
        if sure and max(sure[-1]) >= self._size // 4:
            self._equal, self._end = sure, (sure[-1][0] + 1, sure[-1][1] + 1)
            return
        half = max(1, self._size // 2)
        self._end = self._meeting() or (min(half, len(self._first[0])), min(half, len(self._second[0])))
        self._equal = [pair for pair in sure if pair[0] < self._end[0] and pair[1] < self._end[1]]

    def _meeting(self) -> Pair | None:
        """Return where, seen from here, both go on alike behind what only one has; None where they do not soon."""
        there = _meetings(*self._sides, self._at)
        here = ((mine, its) for its, mine in _meetings(self._sides[1], self._sides[0], self._at[::-1]))
        # Of two that are as far the same one is taken, whichever side comes first.
        return min([*there, *here], key=lambda pair: (sum(pair), self._likeness(pair)), default=None)

    def _likeness(self, pair: Pair) -> bytes:
        at = (self._at[0] + pair[0]) * LIKENESS_BYTES
        return bytes(self._sides[0].likenesses[at : at + LIKENESS_BYTES])

    def pairs(self) -> Iterator[tuple[Pair, bool]]:
        """Yield pairs of positions, and whether they are equal."""
        before = (0, 0)
        for end in [*self._equal, self._end]:
            alike = align(self._first[0][before[0] : end[0]], self._second[0][before[1] : end[1]])
            for mine, its in alike:
                pair = before[0] + mine, before[1] + its
                yield self._moved(pair), self._first[1][pair[0]] == self._second[1][pair[1]]
            if end != self._end:
                yield self._moved(end), True
            before = (end[0] + 1, end[1] + 1)

    def _moved(self, pair: Pair) -> Pair:
        return self._at[0] + pair[0], self._at[1] + pair[1]
