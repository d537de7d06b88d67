"""The actions of one session, published or still in its live log: each is read when it is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from typing import overload

from replaykit.digests import completed
from replaykit.format.actions import action_from_entry
from replaykit.format.asked import Asked, asked_by
from replaykit.format.entries import Entry
from replaykit.format.index import Sequences
from replaykit.format.lazy import LazySequence
from replaykit.model import ReplayAction
from replaykit.protocols import StoredSession

__all__ = ["ActionSequence"]

_MOST_HELD = 128
"""So many actions that were looked at one by one are held decoded."""


class ActionSequence(LazySequence[ReplayAction]):
    """The actions of a session in order of sequence; each is read when it is looked at."""

    def __init__(self, stored: StoredSession | None, live: Sequence[Entry]) -> None:
        self._stored = stored
        self._live = {entry["i"]: entry for entry in live}
        published = stored.sequences if stored is not None else ()
        self._sequences: Sequence[int] = published
        if isinstance(published, Sequences):
            # Kept as runs: what an index claims may be longer than time.
            self._sequences = published.united_with(self._live)
        elif self._live:
            self._sequences = sorted({*published, *self._live})
        self._read = lru_cache(maxsize=_MOST_HELD)(self._read_one)

    @property
    def sequences(self) -> Sequence[int]:
        """The sequences of the actions, ascending; nothing is read for it."""
        return self._sequences

    def _read_one(self, sequence: int) -> ReplayAction:
        return action_from_entry(completed(self._entry(sequence)))

    def _entry(self, sequence: int) -> Entry:
        entry = self._live.get(sequence)
        if entry is not None:
            return entry
        assert self._stored is not None  # a sequence comes from one of both
        return self._stored.action(sequence)

    def entry(self, index: int) -> Entry:
        """Return an action as it is stored, without what follows from the rest: cheaper than the action."""
        return self._entry(self._sequences[index])

    def asked(self) -> Iterator[Asked]:
        """Yield what the calls asked, in order: much cheaper than the actions."""
        if self._stored is None or self._live:
            yield from (asked_by(self._entry(sequence)) for sequence in self._sequences)
        else:
            yield from self._stored.asked()

    def likenesses(self) -> Iterator[bytes | None]:
        """Yield for each action 16 bytes that agree only where actions hold the same; None where that is not told."""
        if self._stored is None or self._live:
            return repeat(None, len(self))
        return self._stored.likenesses()

    @overload
    def __getitem__(self, index: int) -> ReplayAction: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ReplayAction]: ...
    def __getitem__(self, index: int | slice) -> ReplayAction | Sequence[ReplayAction]:
        if isinstance(index, slice):
            positions = range(*index.indices(len(self._sequences)))
            return [self._read(self._sequences[position]) for position in positions]
        return self._read(self._sequences[index])

    def __len__(self) -> int:
        return len(self._sequences)

    def __iter__(self) -> Iterator[ReplayAction]:
        if self._stored is None or self._live:
            yield from (self._read(sequence) for sequence in self._sequences)
            return
        for entry in self._stored.actions():
            yield action_from_entry(completed(entry))

    def __repr__(self) -> str:
        return f"<{len(self)} actions>"
