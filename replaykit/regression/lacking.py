"""What recordings of calls lack that a test would need to be answered as it was."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

from replaykit.errors import PlaybackError
from replaykit.model import MAX_BODY_BYTES, Opaque, ReplayAction, ReplaySession

__all__ = ["Ignored", "demand_whole"]

Ignored = Callable[[str], Set[str]]
"""Gives the arguments that do not count in calls of a name."""

_LARGE = 1 << 14
"""What is left of a body that was cut is no shorter than this."""


def demand_whole(session: ReplaySession, ignored: Ignored) -> None:
    """
    Return if no call that a test would ask for was cut: its result, or an argument that counts.

    Raises:
        PlaybackError: One was.
    """
    for action in session.actions:
        # A call within another is answered with that one.
        if "cut" in action.flags and action.parent is None:
            _demand_whole(action, ignored(action.name))


def _demand_whole(action: ReplayAction, ignored: Set[str]) -> None:
    where = f"call {action.sequence}, {action.name}(),"
    limit = f"{MAX_BODY_BYTES >> 20} MiB"
    if action.output_length is not None or action.input_length is None:
        raise PlaybackError(
            f"what {where} gave was cut, since it is larger than {limit}. Record a function that gives less, or let "
            f"this one run for real: live=[{action.name!r}]"
        )
    large = [name for name, value in action.arguments.items() if name not in ignored and _is_large(value)]
    if large:
        raise PlaybackError(
            f"the arguments of {where} were cut, since they are larger than {limit} ({', '.join(large)}). Record a "
            f"function that takes less, or have them not count: ignore={large!r}"
        )


def _is_large(value: Any) -> bool:
    return isinstance(value, Opaque) or (isinstance(value, (str, bytes)) and len(value) >= _LARGE)
