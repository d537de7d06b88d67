"""Calls without a signature: the recorded calls say what their arguments are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from replaykit.errors import PlaybackError
from replaykit.facts import SELF
from replaykit.playback.calls import RecordedCalls
from replaykit.playback.turns import Names, Turns

__all__ = ["UnsignedCalls"]

Spelling = tuple[str, ...]
"""The argument names of a recorded call, in the order of its parameters."""

Key = Callable[[str, str, Any, Names], bytes]

_MOST_SPELLINGS = 64


class UnsignedCalls:
    """
    Finds recorded calls for calls whose positional arguments have no names.

    Recorded arguments stand in the order of the parameters, so the first
    positional one has the first name, and so on.  What was not given may have
    been a default: it does not count, as long as the recorded calls that agree
    in the rest agree in that too.  Not for several threads at once.
    """

    def __init__(self, calls: RecordedCalls, turns: Turns, key: Key) -> None:
        self._calls = calls
        self._turns = turns
        self._key = key
        self._spellings: dict[tuple[str, str], Sequence[Spelling]] = {}
        self._doubtful: dict[tuple[Names, Names], set[bytes]] = {}

    def take(
        self, kind: str, name: str, ignored: Names, positional: Sequence[Any], keywords: Mapping[str, Any]
    ) -> int | None:
        """
        Return the position of the recorded call that answers, None if none does; arguments are given as stored.

        Raises:
            PlaybackError: Several do, and they differ in what was not given.
        """
        for spelling in self._spellings_of(kind, name):
            named = _bound(spelling, positional, keywords)
            if named is None:
                continue
            left_out = frozenset(spelling) - named.keys() - ignored
            unasked = ignored | left_out
            key = self._key(kind, name, named, unasked)
            if key in self._doubtful_for(ignored, unasked):
                raise PlaybackError(
                    f"several recorded calls of {name} differ only in what this call does not give "
                    f"({', '.join(sorted(left_out))}): give it, or say whose signature counts: wrap(None, like=...)"
                )
            position = self._turns.take(unasked, key)
            if position is not None:
                return position
        return None

    def _spellings_of(self, kind: str, name: str) -> Sequence[Spelling]:
        found = self._spellings.get((kind, name))
        if found is None:
            spelled: dict[Spelling, None] = {}
            for _, asked in self._calls.answering():
                if asked.name == name and asked.kind == kind and len(spelled) < _MOST_SPELLINGS:
                    spelled.setdefault(_names_of(asked.arguments))
            found = self._spellings[kind, name] = list(spelled)
        return found

    def _doubtful_for(self, ignored: Names, unasked: Names) -> set[bytes]:
        """Return the keys without *unasked* whose calls differ although only *ignored* need not agree."""
        if not self._turns.knows(unasked):
            self._turns.add(unasked, self._keyed(unasked))
        if ignored == unasked:
            return set()
        found = self._doubtful.get((ignored, unasked))
        if found is None:
            found = self._doubtful[ignored, unasked] = set()
            whole: dict[bytes, bytes] = {}
            for (key, _), (complete, _) in zip(self._keyed(unasked), self._keyed(ignored), strict=True):
                if whole.setdefault(key, complete) != complete:
                    found.add(key)
        return found

    def _keyed(self, ignored: Names) -> Iterator[tuple[bytes, int]]:
        for position, asked in self._calls.answering():
            yield self._key(asked.kind, asked.name, asked.arguments, ignored), position


def _names_of(arguments: Any) -> Spelling:
    """Return the names of stored arguments, none where they are no plain map; the object's settings have no place."""
    is_plain = isinstance(arguments, dict) and "~t" not in arguments
    return tuple(name for name in arguments if name != SELF) if is_plain else ()


def _bound(spelling: Spelling, positional: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a call's arguments by the names of a recorded call; None where they do not fit it."""
    if len(positional) > len(spelling):
        return None
    named = dict(zip(spelling, positional, strict=False))
    if not keywords.keys() <= set(spelling) - named.keys():
        return None
    return {**named, **keywords}
