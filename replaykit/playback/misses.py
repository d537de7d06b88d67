"""What a miss says: the call, the nearest recorded ones and the field that differs."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Mapping, Set
from typing import Any
from uuid import UUID

import attrs

from replaykit.errors import NoMatchError
from replaykit.facts import SELF
from replaykit.format.asked import Asked
from replaykit.format.matching import match_key
from replaykit.format.thaw import thaw
from replaykit.format.values import pack
from replaykit.playback.calls import RecordedCalls
from replaykit.playback.differences import call_text, differences, short

__all__ = ["FEW", "Miss"]

FEW = 2_000
"""How many recorded calls a miss is compared with at most once a play has had many misses."""

_MOST_SHOWN = 3
_MOST_EXACTLY = 24
_WIDTH = 60
_MOST_READ = 200

_MOST_LOOKED_INTO_BYTES = 16 * 1024
"""Of larger values is said that they differ, not where: to find that takes longer than many a play."""


@attrs.frozen
class Miss:
    """
    A call that no recording is left for.

    Attributes:
        arguments: As they would have been stored, redacted.
        ignored: Arguments that do not count.
        latest: The position of the latest answer.
        most: How many recorded calls are compared: all of them, or those around the latest answer.
        hints: More that may explain it.
    """

    kind: str
    name: str
    arguments: Any
    ignored: Set[str]
    latest: int = 0
    most: int = FEW
    hints: tuple[str, ...] = ()

    def error(self, session_id: UUID, calls: RecordedCalls) -> NoMatchError:
        """Return the error that names the nearest of *calls*; in bounded time, however many there are."""
        asked = _shown(self.name, self.arguments)
        total, alike = calls.alike(self.kind, self.name, around=self.latest, most=self.most)
        best = heapq.nsmallest(_MOST_EXACTLY, alike, key=self._roughly)
        ranked = sorted((_Nearest.of(self, *each) for each in best), key=lambda each: each.rank)[:_MOST_SHOWN]
        lines = [f"no recorded {self.kind} answers {asked} in session {session_id}"]
        if any(not each.differing and calls.is_used(each.position) for each in ranked):
            lines.append('  this call is recorded, and all its recordings are used up (on_repeat="last" repeats)')
        lines += [f"  nearest: action {each.asked.sequence} {each}" for each in ranked]
        if not ranked:
            lines.append(f"  the session has no call named {self.name!r} and none of kind {self.kind!r}")
        elif total > self.most:
            lines.append(f"  compared: {self.most} of {total} such calls, around the one answered last")
        lines += [f"  {hint}" for hint in self.hints]
        nearest = [_shown(each.asked.name, each.asked.arguments) for each in ranked]
        return NoMatchError("\n".join(lines), call=asked, nearest=nearest)

    def _roughly(self, recorded: tuple[int, Asked]) -> tuple[bool, int, int, int]:
        """Order recorded calls about as their ranks do, at little cost."""
        position, asked = recorded
        theirs, wanted = _named(asked.arguments), _named(self.arguments)
        ignored = self.ignored_beside(theirs)
        differing = [name for name, value in wanted.items() if name not in ignored and theirs.get(name) != value]
        shared = sum(_shared_words(theirs.get(name), wanted[name]) for name in differing)
        return asked.name != self.name or asked.kind != self.kind, len(differing), -shared, position

    def ignored_beside(self, recorded: Mapping[str, Any]) -> Set[str]:
        """Return the arguments that do not count: an object's settings only do where both calls have them."""
        are_known = SELF in recorded and SELF in _named(self.arguments)
        return self.ignored if are_known else {*self.ignored, SELF}


@attrs.frozen
class _Nearest:
    """A recorded call beside the one that was asked."""

    position: int
    asked: Asked
    wanted: Mapping[str, Any]
    differing: tuple[str, ...]
    agreement: float
    likeness: float
    is_other: bool

    @classmethod
    def of(cls, miss: Miss, position: int, asked: Asked) -> _Nearest:
        recorded, wanted = _named(asked.arguments), _named(miss.arguments)
        ignored = miss.ignored_beside(recorded)
        names = [name for name in {**recorded, **wanted} if name not in ignored]
        differing = tuple(name for name in names if not _same(recorded.get(name, _ABSENT), wanted.get(name, _ABSENT)))
        agreement = 1 - len(differing) / len(names) if names else 1.0
        likeness = sum(_likeness(recorded.get(name, _ABSENT), wanted.get(name, _ABSENT)) for name in differing)
        is_other = asked.name != miss.name or asked.kind != miss.kind
        return cls(position, asked, wanted, differing, agreement, likeness, is_other)

    @property
    def rank(self) -> tuple[bool, float, float, int]:
        """Orders by how much agrees, then by how alike is what differs."""
        return self.is_other, -self.agreement, -self.likeness, self.position

    def __str__(self) -> str:
        recorded = _named(self.asked.arguments)
        shown = _shown(self.asked.name, self.asked.arguments)
        old, new = self._renamed(recorded)
        told = [f"{old} is called {new} now"] if new else []
        others = [name for name in self.differing if not new or name not in (old, new)]
        told += [
            _differing(name, recorded.get(name, _ABSENT), self.wanted.get(name, _ABSENT))
            for name in others[:_MOST_SHOWN]
        ]
        return f"{shown}: {'; '.join(told[:_MOST_SHOWN])}" if told else shown

    def _renamed(self, recorded: Mapping[str, Any]) -> tuple[str, str]:
        """Return the old and the new name of an argument that has another name now, two empty texts without one."""
        for old in self.differing:
            for new in self.differing:
                if old not in self.wanted and new not in recorded and _same(recorded[old], self.wanted[new]):
                    return old, new
        return "", ""


class _Absent:
    """An argument that was not given."""


_ABSENT = _Absent()


def _named(arguments: Any) -> Mapping[str, Any]:
    """Return stored arguments by name, also where one of them has a name that makes them pairs."""
    if not isinstance(arguments, dict):
        return {}
    if "~t" not in arguments:
        return arguments
    pairs = arguments.get("~v")
    return {str(pair[0]): pair[1] for pair in pairs} if isinstance(pairs, list) else {}


def _same(recorded: Any, asked: Any) -> bool:
    if recorded is _ABSENT or asked is _ABSENT:
        return recorded is asked
    return match_key("", "", recorded) == match_key("", "", asked)


def _shared_words(recorded: Any, asked: Any) -> int:
    if not (isinstance(recorded, str) and isinstance(asked, str)):
        return 0
    return len(set(recorded[:_MOST_READ].split()).intersection(asked[:_MOST_READ].split()))


def _likeness(recorded: Any, asked: Any) -> float:
    """Return how alike two values are that differ: -1 to 1, 0 for other values of one type."""
    if isinstance(recorded, str) and isinstance(asked, str):
        return difflib.SequenceMatcher(None, recorded[:_MOST_READ], asked[:_MOST_READ], autojunk=False).ratio()
    return 0.0 if type(recorded) is type(asked) else -1.0


def _brief(value: Any) -> str:
    return "not given" if value is _ABSENT else short(thaw(value))


def _differing(name: str, recorded: Any, asked: Any) -> str:
    """Return in what an argument differs: of a long text where, of a structure the first place."""
    if isinstance(recorded, str) and isinstance(asked, str):
        at = _first_difference(recorded, asked)
        if max(at, len(recorded), len(asked)) > _WIDTH - 2:
            shown = f"{name} was {_brief(recorded[at:])}, asked {_brief(asked[at:])}"
            return f"{shown} (from character {at})" if at else shown
    elif isinstance(recorded, (dict, list)) and isinstance(asked, (dict, list)):
        place = _first_place(recorded, asked)
        if place:
            return f"{name}{place}"
    return f"{name} was {_brief(recorded)}, asked {_brief(asked)}"


def _first_difference(recorded: str, asked: str) -> int:
    shorter = min(len(recorded), len(asked))
    return next((at for at in range(shorter) if recorded[at] != asked[at]), shorter)


def _first_place(recorded: Any, asked: Any) -> str:
    """Return the first place in which two structures differ and what stands there; empty where it is not looked for."""
    if len(pack(recorded)) + len(pack(asked)) > _MOST_LOOKED_INTO_BYTES:
        return ""
    place = differences(thaw(recorded), thaw(asked))[0]
    if not place.where:
        return ""
    dot = "" if place.where.startswith("[") else "."
    return f"{dot}{place.where} was {place.recorded}, asked {place.seen}"


def _shown(name: str, arguments: Any) -> str:
    return call_text(name, {key: thaw(value) for key, value in _named(arguments).items()})
