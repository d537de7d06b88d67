"""What an error's message quotes of its arguments: where a secret stands in them, it goes from the message, too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from replaykit.format.values import Marker

__all__ = ["Quoted"]

_PLACEHOLDERS = re.compile(r"((?:\[redacted:[a-z]+\])+)")
_PARTS = re.compile(r"[^\s\"'`,;\[\](){}<>\\]+")
_SHORTEST_PART = 6
"""Of a secret of several words, as in ``Bearer a1b2c3``, a shorter one is no secret by itself."""

_SHORT = 4
"""What is shorter counts as quoted only where it is a word of its own."""

_MOST_WORK = 1 << 26
_NAMED = frozenset({"struct", "enum", "object", "error", "path"})


class Quoted:
    """The secrets that were hidden in an error's arguments."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._is_full = False

    def __bool__(self) -> bool:
        return bool(self._forms) or self._is_full

    def add(self, secret: Any) -> None:
        """Take *secret*, text, bytes or a stored tree: each text in it, as it is and as it is printed."""
        for text in _texts_of(secret):
            if len(self._forms) > 20_000:
                self._is_full = True
                return
            for part in {text, text.strip(), *_PARTS.findall(text)}:
                if part == text or len(part) >= _SHORTEST_PART:
                    self._forms.update((part, repr(part)[1:-1], json.dumps(part)[1:-1]))
        self._forms.discard("")

    def replaced(self, message: str, by: str) -> tuple[str, int]:
        """
        Return *message* with *by* for each of the secrets, and how often.

        Where there are too many to look for in a long message, *by* is all of it.
        """
        if self._is_full or len(self._forms) * len(message) > _MOST_WORK:
            return by, 1
        count = 0
        # The longest first: one may be a part of another.
        for form in sorted(self._forms, key=len, reverse=True):
            if form in message:
                message, more = _without(message, form, by)
                count += more
        return message, count


def _without(message: str, form: str, by: str) -> tuple[str, int]:
    """Replace *form* in *message*, but not inside of what was put there before."""
    sought = re.escape(form)
    if len(form) < _SHORT:
        if not form.isalnum():
            return message, 0
        sought = rf"(?<!\w){sought}(?!\w)"
    pieces = _PLACEHOLDERS.split(message)
    count = 0
    for index in range(0, len(pieces), 2):
        pieces[index], more = re.subn(sought, lambda _: by, pieces[index])
        count += more
    return "".join(pieces), count


def _texts_of(secret: Any) -> Iterator[str]:
    """Yield the texts and numbers in *secret*, a stored tree; names of fields and classes are none."""
    stack = [secret]
    while stack:
        value = stack.pop()
        cls = type(value)
        if cls is str:
            yield value
        elif cls is bytes:
            yield value.decode("utf-8", "replace")
            yield repr(value)[2:-1]
        elif cls in (int, float):
            yield str(value)
        elif cls is dict:
            stack += value.values()
        elif cls in (list, tuple):
            is_typed = value and type(value[0]) is Marker
            stack += value[2:] if is_typed and value[0].name in _NAMED else value[1:] if is_typed else value
