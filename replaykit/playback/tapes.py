"""What a play reads from: the calls of a session in order, each as it is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from replaykit.format.asked import Asked, asked_by
from replaykit.format.entries import Entry
from replaykit.format.matching import stored_form
from replaykit.model import ReplayAction
from replaykit.storage.action_sequence import ActionSequence

__all__ = ["Tape", "tape_of"]


class Tape(Protocol):
    """The actions of a session by position."""

    def asked(self) -> Iterator[Asked]:
        """Yield what each call asked, in order."""

    def entry(self, index: int) -> Entry:
        """Return one action as it is stored; anew each time."""


class _Held:
    """A tape of actions that are in memory already."""

    def __init__(self, actions: Sequence[ReplayAction]) -> None:
        self._actions = actions

    def asked(self) -> Iterator[Asked]:
        return (asked_by(self.entry(index)) for index in range(len(self._actions)))

    def entry(self, index: int) -> Entry:
        action = self._actions[index]
        lengths = {"in_n": action.input_length, "out_n": action.output_length}
        return {
            **{key: length for key, length in lengths.items() if length is not None},
            "i": action.sequence,
            "k": action.kind,
            "nm": action.name,
            "p": action.parent,
            "in": stored_form(dict(action.arguments)),
            "out": stored_form(action.output),
            "err": None if action.error is None else stored_form(action.error),
            "fl": sorted(action.flags),
        }


def tape_of(actions: Sequence[ReplayAction]) -> Tape:
    """Return the tape of *actions*; those of a store are read when they are asked for."""
    return actions if isinstance(actions, ActionSequence) else _Held(actions)
