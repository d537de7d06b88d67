"""What of a recorded session a test would have in it: for a person to see before it is written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from replaykit.format.values import pack
from replaykit.model import ReplayAction, Structured
from replaykit.redactors.search import PLACEHOLDERS

__all__ = ["Contents", "LongText", "contents_of"]

_OWN = "replaykit."
_SHOWN, _BEGINNING = 3, 60
_RULE = re.compile(rb"\[redacted:([a-z]+)\]")


@attrs.frozen
class LongText:
    """One of the longest texts: where it stands, how many characters it has, how it begins."""

    action: int
    field: str
    length: int
    beginning: str


@attrs.frozen(kw_only=True)
class Contents:
    """
    What a recording holds of what was asked and answered.

    Attributes:
        calls: The number of calls by kind and by name.
        texts: How many texts there are that are not empty; ``text_bytes`` are theirs in UTF-8.
        longest: The longest texts, longest first.
        redacted: How often each rule hid something in it, when it was recorded or now.
        redacted_now: How often it did now.
        dropped_metadata: The keys of the session's metadata, none of which is taken over.
    """

    calls: Mapping[str, Mapping[str, int]]
    texts: int
    text_bytes: int
    longest: tuple[LongText, ...]
    redacted: Mapping[str, int]
    redacted_now: Mapping[str, int]
    dropped_metadata: tuple[str, ...]


def contents_of(
    actions: Sequence[ReplayAction], *, redacted_now: Mapping[str, int], metadata: Mapping[str, Any]
) -> Contents:
    """Return what *actions* hold; *metadata* are the session's."""
    texts = [(action.sequence, field, text) for action in actions for field, text in _texts(action)]
    different = {text: (number, field, text) for number, field, text in reversed(texts)}
    longest = sorted(different.values(), key=lambda each: (-len(each[2]), each))[:_SHOWN]
    return Contents(
        calls=_by_kind(actions),
        texts=len(texts),
        text_bytes=sum(len(text.encode("utf-8", "surrogatepass")) for _, _, text in texts),
        longest=tuple(LongText(number, field, len(text), text[:_BEGINNING]) for number, field, text in longest),
        redacted=_placeholders(actions),
        redacted_now=dict(redacted_now),
        dropped_metadata=tuple(sorted(key for key in metadata if not key.startswith(_OWN))),
    )


def _by_kind(actions: Sequence[ReplayAction]) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for action in actions:
        found.setdefault(action.kind, Counter())[action.name] += 1
    return {kind: dict(names) for kind, names in found.items()}


def _bodies(action: ReplayAction) -> Iterator[tuple[str, Any]]:
    yield from ((f"arguments.{name}", value) for name, value in action.arguments.items())
    yield "output", action.output
    if action.error is not None:
        yield "error", action.error.message


def _texts(action: ReplayAction) -> Iterator[tuple[str, str]]:
    waiting = list(_bodies(action))
    while waiting:
        field, value = waiting.pop()
        if isinstance(value, str):
            if value:
                yield field, value
        elif isinstance(value, Structured):
            waiting += [(field, each) for each in value.fields.values()]
        elif isinstance(value, Mapping):
            waiting += [(field, each) for each in value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            waiting += [(field, each) for each in value]
        elif attrs.has(type(value)):
            waiting += [(field, getattr(value, each.name)) for each in attrs.fields(type(value))]


def _placeholders(actions: Sequence[ReplayAction]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for action in actions:
        for match in PLACEHOLDERS.finditer(pack([action.arguments, action.output, action.error])):
            found.update(name.decode() for name in _RULE.findall(match[0]))
    return dict(found)
