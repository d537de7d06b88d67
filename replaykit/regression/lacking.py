"""What recordings of calls lack that a test would need to be answered as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

from replaykit.errors import PlaybackError
from replaykit.model import MAX_BODY_BYTES, Opaque, ReplayAction, ReplaySession, Structured

__all__ = ["Ignored", "calls_without_form", "demand_whole"]

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


def calls_without_form(session: ReplaySession, ignored: Ignored) -> Counter[str]:
    """
    Count the calls that were given what has no stored form: any other object of its class would match.

    They are named as in ``search(where=Filter)``.  Arguments that do not count
    are left out, and objects that are told apart by their id.
    """
    found: Counter[str] = Counter()
    for action in session.actions:
        if "unreplayable" in action.flags and action.parent is None:
            without = ", ".join(_without_form(action, ignored(action.name)))
            if without:
                found[f"{action.name}({without})"] += 1
    return found


def _without_form(action: ReplayAction, ignored: Set[str]) -> Iterator[str]:
    for name, value in action.arguments.items():
        opaque = None if name in ignored else next(_opaques(value), None)
        if opaque is not None:
            yield f"{name}={opaque.type_name.rpartition('.')[2]}"


def _opaques(value: Any) -> Iterator[Opaque]:
    """Yield what in *value* has no stored form and no id."""
    if isinstance(value, Opaque):
        if not value.identity:
            yield value
    elif isinstance(value, Structured):
        yield from _opaques(list(value.fields.values()))
    elif isinstance(value, Mapping):
        yield from _opaques([*value, *value.values()])
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _opaques(item)
