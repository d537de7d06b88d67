"""Where a bracket in a text closes, and a text in quotes ends, however often they were quoted in others."""

from __future__ import annotations

import re

import attrs

from replaykit.redactors.pairs import NAME_OF_MANY

__all__ = [
    "FAR",
    "LEVELS",
    "Escapes",
    "balanced",
    "closed",
    "closing",
    "end_of_text",
    "is_apostrophe",
    "is_looked_at_again",
]


def closed(data: bytes, at: int, *, outer: int) -> int:
    """Return where the bracket at *at* has closed; of what was cut off before it did, the end."""
    return balanced(data, at, len(data), outer=outer) or len(data)


FAR = 1024
"""What was looked at so far beyond the end that was found is hidden, where a name on the way would look there again."""

# In lower case: a name before a bracket, a tag or a call, a field that is called like a secret, an escaped letter.
_AGAIN = re.compile(
    NAME_OF_MANY + rb"[\\\"'\]]{0,9}[ \t\r\n]{0,64}(?::=|=>|=|:|%3d)(?:[ \t\r\n]|\\{1,7}[nrt])*+"
    rb"(?:[\[{(&!]|[a-z_][\w.]*+\()"
    rb"|(?:key|name)\\{0,7}[\"']?[ \t]{0,4}[=:][ \t]{0,4}\\{0,7}[\"'][a-z0-9_.:/ -]{0,40}?"
    + NAME_OF_MANY
    + rb"|\\(?:u00|x)(?:2[0de]|[4-7][0-9a-f])"
)

LEVELS = (1, 2, 4, 8)
"""How many backslashes one is written as: in a text, in a text in JSON or printed Python, in such a one in another."""


def balanced(data: bytes, at: int, stop: int, *, outer: int) -> int | None:
    """
    Return where the bracket at *at* has closed before *stop*; None if it has not.

    A text does not say how often it was quoted inside another.  Where that
    makes a difference, the farthest end that makes sense is returned; where
    one way had to look far beyond it, over other names, all that was looked at.
    """
    end, _ = closing(data, at, stop, outer=outer)
    return end


def closing(data: bytes, at: int, stop: int, *, outer: int) -> tuple[int | None, bool]:
    """Return what `balanced` does, and whether it would be the same with any later *stop*."""
    farthest = seen = -1
    for is_strict in (True, False):
        for unit in LEVELS:
            end, looked, counted = _balanced_at(data, at, stop, Escapes(unit, outer, is_strict))
            if not counted:
                # All ways to read it are the same.
                return end, end is not None or looked < stop
            if end is None:
                seen = max(seen, looked)
            else:
                farthest = max(farthest, end)
        if farthest >= 0:
            return seen if is_looked_at_again(data, farthest, seen) else farthest, seen < stop
    return None, seen < stop


def is_looked_at_again(data: bytes, start: int, end: int) -> bool:
    """Return whether this is much, and holds a name whose value would be looked for in it anew."""
    return end - start > FAR and _AGAIN.search(data[start:end].lower()) is not None


@attrs.frozen
class Escapes:
    """
    How a text is read: a backslash is written as *unit* of them, the name stands in quotes with *outer* before them.

    With *is_strict* a text that does not agree with that has no end.
    """

    unit: int
    outer: int
    is_strict: bool


_CLOSERS = {ord("["): ord("]"), ord("{"): ord("}"), ord("("): ord(")")}
# Behind a backslash no run of them begins: a long one is gone through once.
_QUOTE = rb"(?<!\\)\\*+(?:\"\"\"|'''|\"|')"
_TOKENS = {
    opener: re.compile(rb"[" + re.escape(bytes([opener, closer])) + rb"]|" + _QUOTE)
    for opener, closer in _CLOSERS.items()
}
_ENDINGS = {quote: re.compile(rb"(?<!\\)\\*+" + quote) for quote in (b'"', b"'", b'"""', b"'''")}


def _balanced_at(data: bytes, at: int, stop: int, escapes: Escapes) -> tuple[int | None, int, bool]:
    """
    Return where the bracket has closed, None if it has not, how far was looked, and whether a backslash counted.

    Only those before a quote do.  Brackets of other kinds do not matter: where it closes, they have.
    """
    opener, tokens, depth, place, counted = data[at], _TOKENS[data[at]], 0, at, False
    while found := tokens.search(data, place, stop):
        place = found.end()
        byte = data[place - 1]
        if byte == opener:
            depth += 1
        elif byte == _CLOSERS[opener]:
            depth -= 1
            if not depth:
                return place, place, counted
        else:
            quote = found[0].lstrip(b"\\")
            slashes = len(found[0]) - len(quote)
            counted = counted or slashes > 0
            if byte == 0x22 and slashes < escapes.outer:
                # The text that all of this stands in is over.
                return found.start(), place, counted
            if byte == 0x27 and is_apostrophe(data, found.start()):
                continue
            ending, looked, has_escapes = end_of_text(data, place, stop, quote, slashes, escapes)
            counted = counted or has_escapes
            if ending is None:
                return None, looked, counted
            place = ending.end()
            if place - ending.start() - len(quote) < slashes:
                return ending.start(), place, counted
    return None, stop, counted


def end_of_text(
    data: bytes, at: int, stop: int, quote: bytes, slashes: int, escapes: Escapes
) -> tuple[re.Match[bytes] | None, int, bool]:
    """Return the end of a text from *at*, None if it has none, how far was looked, and whether a backslash counted."""
    unit, counted = escapes.unit, False
    if escapes.is_strict and slashes >= unit:
        return None, at, True
    for found in _ENDINGS[quote].finditer(data, at, stop):
        before = len(found[0]) - len(quote) - slashes
        counted = counted or before != 0
        if escapes.is_strict and before > 0 and before % unit:
            return None, found.end(), counted
        if before < 0 or before // unit % 2 == 0:
            return found, found.end(), counted
    return None, stop, counted


def is_apostrophe(data: bytes, at: int) -> bool:
    """Return whether the ``'`` at *at* stands in a word: behind a letter that is no prefix of a text."""
    before = data[max(0, at - 4) : at]
    word = before[len(before.rstrip(_LETTERS)) :]
    if before[: -len(word)].endswith(b"\\") and word[:1] in (b"n", b"r", b"t"):
        word = word[1:]
    return len(word) > 2 or word.strip(b"bBrRuUfF") != b""


_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_" + bytes(range(128, 256))
