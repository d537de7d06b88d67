"""The longest part of a sequence that is in order already: what does not have to move."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

__all__ = ["longest_ascending"]


def longest_ascending(places: Sequence[int], *, strictly: bool = False) -> list[int]:
    """
    Return the indexes, ascending, of a longest part of *places* that never descends.

    With *strictly* it rises at each step.  Patience sorting: n log n.
    """
    reach = bisect_left if strictly else bisect_right
    tails: list[int] = []
    tail_at: list[int] = []
    before: list[int] = []
    for at, place in enumerate(places):
        length = reach(tails, place)
        before.append(tail_at[length - 1] if length else -1)
        if length == len(tails):
            tails.append(place)
            tail_at.append(at)
        else:
            tails[length], tail_at[length] = place, at
    found = []
    current = tail_at[-1] if tail_at else -1
    while current >= 0:
        found.append(current)
        current = before[current]
    return found[::-1]
