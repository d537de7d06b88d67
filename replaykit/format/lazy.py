"""What sequences have in common whose items are made when they are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["LazySequence"]

_Item_co = TypeVar("_Item_co", covariant=True)


class LazySequence(Sequence[_Item_co]):
    """A sequence that equals any other with equal items in the same order, as lists do one another."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, (str, bytes)):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # like a list: compared by content
