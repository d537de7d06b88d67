"""The frame ids of a snapshot, read when they are looked at."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

__all__ = ["FrameIds"]


class FrameIds(Sequence[int]):
    """
    The ids that were live at one generation, ascending.

    The length is known; the ids are read once, at first use.  Equal to any
    sequence with the same ids.

    Raises:
        ClosedError: The memory was closed before the first use.
    """

    def __init__(self, read: Callable[[int], Iterable[int]], generation: int, count: int) -> None:
        self._read = read
        self._generation = generation
        self._count = count
        self._ids: array[int] | None = None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        return tuple(self._loaded()[index]) if isinstance(index, slice) else self._loaded()[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._loaded())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, (str, bytes)):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy in another process cannot ask the memory.
        return tuple, (tuple(self),)

    def __repr__(self) -> str:
        return f"<{self._count} frame ids of generation {self._generation}>"

    def _loaded(self) -> array[int]:
        if self._ids is None:
            self._ids = array("q", self._read(self._generation))
        return self._ids
