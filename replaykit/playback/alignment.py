"""
Lines up two sequences by what they hold: what one has more of is left over, the rest stays paired.

Equal beginnings and ends go first, then items that both have just once keep
their order as anchors; what lies between is aligned by `difflib`, in bounded
time.
"""

from __future__ import annotations

import difflib
from abc import abstractmethod
from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterator, Sequence
from typing import overload

from replaykit.format.lazy import LazySequence
from replaykit.playback.subsequences import longest_ascending

__all__ = ["Pair", "Pairs", "align"]

Pair = tuple[int, int]
"""An index into the first sequence and one into the second."""

_MAX_COMPARED = 1_000_000
"""Where more pairs of items would have to be looked at, equal items are paired first come, first served."""


class Pairs(LazySequence[Pair]):
    """Pairs that are told one by one as they are asked for; how many there are is known."""

    @abstractmethod
    def pair_at(self, position: int) -> Pair:
        """Return the pair at a position, from 0 to less than the length."""

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | Sequence[Pair]:
        positions = range(len(self))[index]
        return self.pair_at(positions) if isinstance(positions, int) else [self.pair_at(at) for at in positions]


def align(first: Sequence[Hashable], second: Sequence[Hashable]) -> list[Pair]:
    """
    Return pairs of indexes of equal items, both ascending.

    Aligning the other way round gives the same pairs, turned.
    """
    if not first or not second:
        return []
    # difflib breaks ties by what comes first, so the roles are fixed.
    if _comes_first(first, second):
        return list(_aligned(first, second))
    return [(mine, its) for its, mine in _aligned(second, first)]


def _comes_first(first: Sequence[Hashable], second: Sequence[Hashable]) -> bool:
    if len(first) != len(second):
        return len(first) < len(second)
    return next((repr(mine) < repr(its) for mine, its in zip(first, second, strict=True) if mine != its), True)


def _aligned(first: Sequence[Hashable], second: Sequence[Hashable]) -> Iterator[Pair]:
    shorter = min(len(first), len(second))
    begin = next((at for at in range(shorter) if first[at] != second[at]), shorter)
    rest = shorter - begin
    end = next((at for at in range(rest) if first[-1 - at] != second[-1 - at]), rest)
    yield from ((at, at) for at in range(begin))
    first_end, second_end = len(first) - end, len(second) - end
    before = (begin, begin)
    for anchor in [*_anchors(first, second, begin, first_end, second_end), (first_end, second_end)]:
        yield from _between(first, second, before, anchor)
        if anchor != (first_end, second_end):
            yield anchor
        before = (anchor[0] + 1, anchor[1] + 1)
    yield from ((first_end + at, second_end + at) for at in range(end))


def _anchors(
    first: Sequence[Hashable], second: Sequence[Hashable], begin: int, first_end: int, second_end: int
) -> list[Pair]:
    """Return the most pairs of items that both sides have once, in the order of both."""
    in_first, in_second = Counter(first[begin:first_end]), Counter(second[begin:second_end])
    at_in_second = {second[at]: at for at in range(begin, second_end)}
    once = [
        (at, at_in_second[first[at]])
        for at in range(begin, first_end)
        if in_first[first[at]] == 1 and in_second[first[at]] == 1
    ]
    return [once[at] for at in longest_ascending([place for _, place in once], strictly=True)]


def _between(first: Sequence[Hashable], second: Sequence[Hashable], begin: Pair, end: Pair) -> Iterator[Pair]:
    mine, its = first[begin[0] : end[0]], second[begin[1] : end[1]]
    if not mine or not its:
        return
    if len(mine) * len(its) > _MAX_COMPARED:
        found: Iterator[Pair] = _first_come(mine, its)
    else:
        blocks = difflib.SequenceMatcher(a=mine, b=its, autojunk=False).get_matching_blocks()
        found = ((block.a + at, block.b + at) for block in blocks for at in range(block.size))
    yield from ((begin[0] + at, begin[1] + its_at) for at, its_at in found)


def _first_come(first: Sequence[Hashable], second: Sequence[Hashable]) -> Iterator[Pair]:
    waiting: defaultdict[Hashable, deque[int]] = defaultdict(deque)
    for at, item in enumerate(second):
        waiting[item].append(at)
    reached = -1
    for at, item in enumerate(first):
        places = waiting.get(item, deque())
        while places and places[0] <= reached:
            places.popleft()
        if places:
            reached = places.popleft()
            yield at, reached
