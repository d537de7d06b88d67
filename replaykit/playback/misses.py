"""What a miss says: the call, the nearest recorded ones and the field that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any
from uuid import UUID

import attrs

from replaykit.errors import NoMatchError
from replaykit.format.values import pack
from replaykit.model import ReplayAction

__all__ = ["Miss"]


@attrs.frozen
class Miss:
    """
    A call that no recording is left for.

    Attributes:
        arguments: Redacted, as they would have been recorded.
        ignored: Arguments that do not count.
    """

    kind: str
    name: str
    arguments: Mapping[str, Any]
    ignored: Set[str]

    def error(self, session_id: UUID, actions: Sequence[ReplayAction], unused: Set[int]) -> NoMatchError:
        """Return the error that names the nearest of *actions*."""
        asked = _shown(self.name, self.arguments)
        ranked = self._nearest(actions)
        lines = [f"no recorded {self.kind} answers {asked} in session {session_id}"]
        if any(action.sequence not in unused for action in ranked if self._agreement(action) == 1.0):
            lines.append('  this call is recorded, and all its recordings are used up (on_repeat="last" repeats)')
        lines += [f"  nearest: action {action.sequence} {self._difference(action)}" for action in ranked]
        if not ranked:
            lines.append(f"  the session has no call named {self.name!r} and none of kind {self.kind!r}")
        nearest = [_shown(action.name, action.arguments) for action in ranked]
        return NoMatchError("\n".join(lines), call=asked, nearest=nearest)

    def _nearest(self, actions: Sequence[ReplayAction]) -> list[ReplayAction]:
        same = [action for action in actions if action.name == self.name]
        alike = same or [action for action in actions if action.kind == self.kind]
        return sorted(alike, key=lambda action: (-self._agreement(action), action.sequence))[:3]

    def _differing(self, action: ReplayAction) -> list[str]:
        names = [name for name in {**action.arguments, **self.arguments} if name not in self.ignored]
        return [
            name for name in names if not _same(action.arguments.get(name, _ABSENT), self.arguments.get(name, _ABSENT))
        ]

    def _agreement(self, action: ReplayAction) -> float:
        names = {*action.arguments, *self.arguments} - self.ignored
        return 1.0 if not names else 1 - len(self._differing(action)) / len(names)

    def _difference(self, action: ReplayAction) -> str:
        shown = _shown(action.name, action.arguments)
        for name in self._differing(action)[:1]:
            recorded, asked = action.arguments.get(name, _ABSENT), self.arguments.get(name, _ABSENT)
            return f"{shown}: {name} was {_brief(recorded)}, asked {_brief(asked)}"
        return shown


class _Absent:
    """An argument that was not given."""


_ABSENT = _Absent()


def _same(recorded: Any, asked: Any) -> bool:
    return recorded is asked or pack(recorded) == pack(asked)


def _brief(value: Any) -> str:
    if value is _ABSENT:
        return "not given"
    is_plain = value is None or isinstance(value, (str, int, float))
    shown = repr(value) if is_plain else f"<{type(value).__name__}>"
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _shown(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={_brief(value)}' for key, value in arguments.items())})"
