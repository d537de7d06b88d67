"""The recorded calls of a session as a play sees them: which of them answer, and which were used."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import compress, count
from typing import cast, overload

from replaykit.facts import SELF
from replaykit.format.asked import Asked, asked_by
from replaykit.format.lazy import LazySequence
from replaykit.model import ReplayAction
from replaykit.playback.tapes import tape_of

__all__ = ["RecordedCalls"]


class RecordedCalls:
    """
    The calls of one session by position in it; none is held decoded.

    Top-level calls answer, and those that a call made which runs live.  Every
    other is a child: it is used with the call that made it.

    Attributes:
        left: How many calls are not used.
        have_settings: Whether of any that answers the settings of its object are known.
    """

    def __init__(self, actions: Sequence[ReplayAction], is_live: Callable[[str, str], bool] | None = None) -> None:
        self.tape = tape_of(actions)
        self.left = 0
        self.have_settings = False
        self._actions = actions
        self._may_run = is_live is not None
        self._is_live = is_live or (lambda _kind, _name: False)
        self._sequences = array("q")
        self._answers = bytearray()
        self._is_used = bytearray()
        self._aside = array("q")
        self._never_asked = array("q")
        self._children: dict[int, list[int]] = {}
        self._named: dict[tuple[str, str], array[int]] = {}

    def read(self) -> Iterator[tuple[int, Asked]]:
        """Read the recording, once: yield the calls that answer, and note what else there is."""
        run: set[int | None] = {None}
        last_kind: object = None
        last_name: object = None
        note_sequence = self._sequences.append
        for position, asked in enumerate(self.tape.asked()):
            sequence, kind, name, parent, arguments = asked
            note_sequence(sequence)
            if parent not in run or kind == "checkpoint" or (self._may_run and self._is_live(kind, name)):
                self._set_aside(position, asked, run)
                continue
            if name is not last_name or kind is not last_kind:
                note_position = self._named.setdefault((kind, name), array("q")).append
                last_kind, last_name = kind, name
            note_position(position)
            if not self.have_settings and isinstance(arguments, dict) and SELF in arguments:
                self.have_settings = True
            yield position, asked
        self._mark()

    def _set_aside(self, position: int, asked: Asked, run: set[int | None]) -> None:
        self._aside.append(position)
        if asked.kind == "checkpoint":
            self._never_asked.append(position)
        elif asked.parent not in run:
            self._children.setdefault(cast(int, asked.parent), []).append(position)
        else:
            # It will run and make its calls again: those are answered.
            run.add(asked.sequence)
            self._never_asked.append(position)

    def _mark(self) -> None:
        self._answers = bytearray(b"\1") * len(self._sequences)
        self._is_used = bytearray(len(self._sequences))
        for position in self._aside:
            self._answers[position] = 0
        for position in self._never_asked:
            self._is_used[position] = 1
        self.left = self._is_used.count(0)

    def answering(self) -> Iterator[tuple[int, Asked]]:
        """Yield the calls that answer, with their positions, again."""
        return compress(zip(count(), self.tape.asked(), strict=False), self._answers)

    def has(self, name: str) -> bool:
        """Whether a call of this name answers."""
        return any(said == name for _, said in self._named)

    def use(self, position: int) -> None:
        """Count an answered call as used, and with it the calls that it had made."""
        waiting = [position]
        while waiting:
            current = waiting.pop()
            if not self._is_used[current]:
                self._is_used[current] = 1
                self.left -= 1
            if self._children:
                waiting.extend(self._children.get(self._sequences[current], ()))

    def is_used(self, position: int) -> bool:
        """Whether the call was asked for."""
        return bool(self._is_used[position])

    def action(self, position: int) -> ReplayAction:
        """Return one action."""
        return self._actions[position]

    @property
    def unused(self) -> Sequence[ReplayAction]:
        """The calls that are not used, as of now; each is read when it is looked at."""
        positions = array("q", (position for position, used in enumerate(self._is_used) if not used))
        return _Chosen(self._actions, positions)

    def alike(self, kind: str, name: str, *, around: int, most: int) -> tuple[int, Iterator[tuple[int, Asked]]]:
        """
        Return how many calls have this name, or where there are none this kind, and those calls.

        Of more than *most* only those around position *around*.
        """
        named = {said: found for said, found in self._named.items() if said[1] == name}
        chosen = named or {said: found for said, found in self._named.items() if said[0] == kind}
        total = sum(map(len, chosen.values()))
        if total <= most:
            return total, ((at, asked) for at, asked in self.answering() if (asked.kind, asked.name) in chosen)
        positions = sorted(position for found in chosen.values() for position in found)
        first = max(0, min(bisect_left(positions, around) - most // 2, total - most))
        return total, ((at, asked_by(self.tape.entry(at))) for at in positions[first : first + most])


class _Chosen(LazySequence[ReplayAction]):
    """Some actions of a session."""

    def __init__(self, actions: Sequence[ReplayAction], positions: Sequence[int]) -> None:
        self._actions = actions
        self._positions = positions

    @overload
    def __getitem__(self, index: int) -> ReplayAction: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ReplayAction]: ...
    def __getitem__(self, index: int | slice) -> ReplayAction | Sequence[ReplayAction]:
        if isinstance(index, slice):
            return [self._actions[position] for position in self._positions[index]]
        return self._actions[self._positions[index]]

    def __len__(self) -> int:
        return len(self._positions)

    def __repr__(self) -> str:
        return f"<{len(self)} actions>"
