"""The difference of two recordings for people: the calls that went, came or gave something else, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import attrs

from replaykit.model import Divergence, ReplayAction, ReplaySession, SessionComparison
from replaykit.plain_text import counted, one_line
from replaykit.playback.comparing import compare
from replaykit.playback.differences import brief, call_text, differences
from replaykit.regression.explaining import divergence_lines

__all__ = ["SessionDiff", "diff_of", "diff_of_new"]

MOST_CALLS = 50
"""So many calls are shown; the others are counted."""

_WIDTH = 160
_INDENT = "    "


@attrs.frozen(kw_only=True)
class SessionDiff:
    """
    What a new recording has in place of an old one.

    Attributes:
        same: How many calls are in both and came to the same; so with those below.
        differing: In both, and came to something else.
        removed: In the old one only.
        added: In the new one only.
        lines: The calls that are not the same, with ``-``, ``+`` or ``~``
            before each and, indented, what it is about; a bounded number of
            lines with nothing in them that steers a terminal.
    """

    same: int = 0
    differing: int = 0
    removed: int = 0
    added: int = 0
    lines: Sequence[str] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs that is compared."""
        return not self.lines


def diff_of(old: ReplaySession, new: ReplaySession) -> SessionDiff:
    """
    Return the difference of *new* to *old*.

    Raises:
        StorageError: One of them cannot be read.
    """
    found = compare(old, new)
    return SessionDiff(
        same=found.matching_actions,
        differing=len(found.pairs) - found.matching_actions,
        removed=len(found.actions_only_in_a),
        added=len(found.actions_only_in_b),
        lines=[*_about_the_whole(old, new), *_bounded(_calls(old, new, found))],
    )


def diff_of_new(new: ReplaySession) -> SessionDiff:
    """
    Return the difference of *new* to nothing.

    Raises:
        StorageError: It cannot be read.
    """
    calls = ([_call("+", action), *_outcome(action)] for action in new.actions)
    return SessionDiff(added=len(new.actions), lines=list(_bounded(calls)))


def _bounded(calls: Iterator[list[str]]) -> Iterator[str]:
    for lines in islice(calls, MOST_CALLS):
        yield from lines
    if more := sum(1 for _ in calls):
        yield f"and {counted(more, 'more call')}"


# -- calls ------------------------------------------------------------------------


def _calls(old: ReplaySession, new: ReplaySession, found: SessionComparison) -> Iterator[list[str]]:
    """Yield the lines of each call that is not the same, in the order in which a reader of both meets them."""
    by_sequence: dict[int, list[Divergence]] = {}
    for item in found.differing_actions:
        by_sequence.setdefault(item.at_sequence, []).append(item)
    gone, come = _actions(old, found.actions_only_in_a), _actions(new, found.actions_only_in_b)
    was = _actions(old, sorted(by_sequence))
    for at, its in found.pairs:
        yield from _until(at, gone, its, come)
        if at in by_sequence:
            yield [_call("~", was[at]), *_divergences(by_sequence[at])]
    yield from _until(None, gone, None, come)


def _actions(session: ReplaySession, sequences: Sequence[int]) -> dict[int, ReplayAction]:
    wanted = set(sequences)
    return {action.sequence: action for action in session.actions if action.sequence in wanted} if wanted else {}


def _until(
    at: int | None, gone: dict[int, ReplayAction], its: int | None, come: dict[int, ReplayAction]
) -> Iterator[list[str]]:
    """Yield, and take out, what stands before action *at* of the old and action *its* of the new recording."""
    for mark, waiting, end in (("-", gone, at), ("+", come, its)):
        while waiting and (end is None or next(iter(waiting)) < end):
            action = waiting.pop(next(iter(waiting)))
            yield [_call(mark, action), *_outcome(action)]


def _call(mark: str, action: ReplayAction) -> str:
    inner = "" if action.parent is None else "  "
    return f"{mark} {inner}{one_line(call_text(action.name, action.arguments), _WIDTH)}"


def _outcome(action: ReplayAction) -> list[str]:
    if action.error is not None:
        return [f"{_INDENT}raised {one_line(f'{action.error.type}: {action.error.message}', _WIDTH)}"]
    return [f"{_INDENT}gave {one_line(brief(action.output), _WIDTH)}"]


def _divergences(found: Sequence[Divergence]) -> list[str]:
    return [f"{_INDENT}{line}" for item in found for line in divergence_lines(item)]


# -- the rest ---------------------------------------------------------------------


def _about_the_whole(old: ReplaySession, new: ReplaySession) -> Iterator[str]:
    """Yield in what they differ beside their calls."""
    facts: Mapping[str, tuple[Any, Any]] = {
        "metadata": (dict(old.metadata), dict(new.metadata)),
        "redaction": (old.redaction, new.redaction),
        "lost calls": (old.lost, new.lost),
    }
    for name, (then, now) in facts.items():
        if then != now:
            for item in differences(then, now):
                where = f"{name}.{item.where}" if item.where else name
                yield f"~ {one_line(where, 80)}: {one_line(item.recorded, _WIDTH)} -> {one_line(item.seen, _WIDTH)}"
