"""Makes many objects of one class at once: what a listing of thousands of sessions is made of."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import repeat
from typing import Any, TypeVar

__all__ = ["make_many"]

_Made = TypeVar("_Made")


def make_many(kind: type[_Made], count: int, /, **columns: Iterable[Any]) -> list[_Made]:
    """
    Return *count* objects of the class *kind*, which has slots, with the attributes that *columns* hold in order.

    Nothing is checked or converted, and what no column is for stays unset.
    """
    # No line of Python runs for each object: the constructors of ids, cards
    # and summaries were half of a listing's time.
    made = list(map(object.__new__, repeat(kind, count)))
    for name, column in columns.items():
        deque(map(getattr(kind, name).__set__, made, column), maxlen=0)
    return made
