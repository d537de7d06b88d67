"""
Where a value under a secret's name ends in a text: at its bracket, its tag, its dedent; since ``secrets/3``.

Texts are cut, quoted and encoded again before they get here, so no parser of a
notation would take them.  What is hidden ends where the value does; where
that cannot be told it is rather too much.  All of it takes time linear in the
text: what is looked at for long is hidden, and not looked at again.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

import attrs

from replaykit.redactors.pairs import (
    OPENING,
    is_code,
    is_plain,
    is_secret_name,
    is_stand_in,
    is_template,
    pair_span,
    quoted_span,
    scalar_span,
    tag_span,
)

__all__ = ["element_span", "escaped_name_span", "named_span", "value_span"]

Span = tuple[int, int]

_PLACEHOLDER = re.compile(rb"\[redacted:[a-z]+\]")
_BREAKS = re.compile(rb"(?:[ \t\r\n]|\\{1,7}[nrt])*+")
_WORD = re.compile(rb"[^\s\"'`,;&<>(){}\[\]\\|]++")


# -- values -------------------------------------------------------------------


def value_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return where the value after a name and a separator is, whatever its structure; None if it is no secret."""
    if match["gap"].strip(b" \t") and not _has_quote(match):
        return None
    at = _after(_BREAKS, data, match.end())
    structure = None if _PLACEHOLDER.match(data, at) else _structure_span(data, match, at)
    if match["plural"] and not (_has_quote(match) and OPENING.match(data, match.end())):
        # Many of them in one bare word are mostly a count.
        return structure
    word = pair_span(data, match)
    if structure is None or word is None:
        return structure or word
    return min(structure[0], word[0]), max(structure[1], word[1])


def _structure_span(data: bytes, match: re.Match[bytes], at: int) -> Span | None:
    """Return the value that begins at *at*, behind blanks and breaks, if it is more than a word or a text beside it."""
    is_quoted, is_below = _has_quote(match), at > match.end()
    is_colon = match["separator"].rstrip() == b":"
    if data[at : at + 1] in (b"[", b"{", b"(") and (is_quoted or not (is_below and is_colon)):
        return _bracket_span(data, match, at)
    opening = OPENING.match(data, at)
    if is_colon and not (is_quoted and is_below and opening) and (found := _yaml_span(data, match, at)):
        return found
    if printed := _printed_object_span(data, match, at):
        return printed
    if opening and is_quoted:
        # Behind ``if kind == "token":`` a docstring may begin.
        is_docstring = is_below and len(opening["quote"]) > 1
        span = None if is_docstring else quoted_span(data, opening) if is_below else pair_span(data, match)
        return _with_texts_below(data, opening, span)
    if opening and is_below:
        return quoted_span(data, opening) if b"=" in match["separator"] else None
    return scalar_span(data, match, at) if is_below and is_quoted and _NUMBER.match(data, at) else None


_NUMBER = re.compile(rb"-?[0-9]")


def _with_texts_below(data: bytes, opening: re.Match[bytes], span: Span | None) -> Span | None:
    """Return *span*, of the text that *opening* begins, with those that Python's printer puts into the next lines."""
    if span is None:
        return None
    ends = [end for unit in _LEVELS if (end := _end_of_texts(data, opening, unit))]
    return span[0], max([span[1], *ends])


def _end_of_texts(data: bytes, opening: re.Match[bytes], unit: int) -> int | None:
    """Return where the last of several texts ends that stand below each other; None if the first does not."""
    last: int | None = None
    begun: re.Match[bytes] | None = opening
    while begun:
        quote, slashes = begun["quote"], len(begun["slashes"])
        ending = _ending(data, begun.end(), len(data), quote, slashes, _Escapes(unit, 0, True))[0]
        end = ending.end() - len(quote) - slashes if ending else -1
        if ending is None or (len(quote) == 1 and data.find(b"\n", begun.end(), end) >= 0):
            break
        last = end
        below = _TEXT_BELOW.match(data, ending.end())
        begun = OPENING.match(data, below.end()) if below else None
    return last


_TEXT_BELOW = re.compile(rb"(?=[ \t]*(?:[\r\n]|\\{1,7}n))(?:[ \t\r\n]|\\{1,7}[nr])*+(?=[bBrRuUfF]{0,2}\\{0,7}[\"'])")


def _has_quote(match: re.Match[bytes]) -> bool:
    return b'"' in match["quote"] or b"'" in match["quote"]


def _after(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    """Return where what *pattern* matches at *at* ends: there, if it is nothing."""
    found = pattern.match(data, at)
    return found.end() if found else at


# -- brackets -----------------------------------------------------------------

_INSIDE = re.compile(rb"(?:[\s\[{(]|\\{1,7}[nrt])*+")
_LITERAL = re.compile(rb"(?:[bBrRuUfF]{0,2}|[A-Za-z_][\w.]{0,40}[ \t]*[=:][ \t]*[bBrRuUfF]{0,2})\\{0,7}[\"']")
_FIELD_NAME = re.compile(rb"[\w.-]++[ \t]*:[ \t]")
_SOON = 256


def _bracket_span(data: bytes, match: re.Match[bytes], at: int) -> Span | None:
    """Return a list, map or tuple; beside a bare name only what is a value rather than code or a remark."""
    inside = _after(_INSIDE, data, at)
    if data[inside : inside + 1] in (b"]", b"}", b")", b"") or is_template(data, at):
        return None
    outer = match["quote"].count(b"\\") if b'"' in match["quote"] else 0
    if _has_quote(match) or _LITERAL.match(data, inside) or _is_keyword_with_literal(data, match, at):
        return at, _closed(data, at, outer=outer)
    word = _WORD.match(data, inside)
    if data[at : at + 1] == b"(" or match["separator"].rstrip() != b":" or word is None:
        return None
    is_list = _FIELD_NAME.match(data, inside) or data[word.end() : word.end() + 1] == b","
    if not is_list and _is_said(data, word, match["name"]):
        return None
    stop = _end_of_flow(data, match, at)
    return None if stop is None else (at, _balanced(data, at, stop, outer=outer) or stop)


def _is_said(data: bytes, word: re.Match[bytes], name: bytes) -> bool:
    """Return whether *word* belongs to a program or an explanation."""
    return is_plain(word[0], name) or is_code(data, word, tight=True)


def _is_keyword_with_literal(data: bytes, match: re.Match[bytes], at: int) -> bool:
    """Return whether this is ``name=[... "text"`` without blanks, as keywords are printed."""
    if match["separator"] != b"=" or match["gap"]:
        return False
    return _has_text_inside(data, at)


def _has_text_inside(data: bytes, at: int) -> bool:
    """Return whether a text begins soon in the bracket at *at*, before it closes."""
    quote = _ANY_QUOTE.search(data, at, at + _SOON)
    if quote is None:
        return False
    depth = 0
    for found in _BRACKETS.finditer(data, at, quote.start()):
        depth += 1 if found[0] in b"[{(" else -1
        if depth <= 0:
            return False
    return True


_ANY_QUOTE = re.compile(rb"[\"']")
_BRACKETS = re.compile(rb"[\[\](){}]")


def _end_of_flow(data: bytes, match: re.Match[bytes], at: int) -> int | None:
    """Return how far a bare list or map at *at* can reach in YAML; None if the name is no key of it."""
    key = _yaml_key(data, match)
    if key is not None:
        below = _block_span(data, match, at, key, is_literal=True)
        return max(below[1] if below else 0, _end_of_line(data, at))
    before = data[max(0, match.start() - 64) : match.start()].rstrip(_KEY_BYTES)
    return _end_of_line(data, at) if before.rstrip()[-1:] in (b"{", b",") else None


_KEY_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"

_PRINTED = re.compile(
    rb"(?:[A-Za-z_]\w*\.){0,8}+(?:[A-Z]\w*|frozenset|set|deque|mappingproxy|defaultdict|array|dict|list|tuple)(?=\()"
)


def _printed_object_span(data: bytes, match: re.Match[bytes], at: int) -> Span | None:
    """Return a printed object with a text in it: ``Login(user='bob', ...)``, ``frozenset({'...'})``."""
    if not _has_quote(match) and (match["separator"] != b"=" or match["gap"]):
        return None
    called = _PRINTED.match(data, at)
    if called is None or not _has_text_inside(data, called.end()):
        return None
    return at, _closed(data, called.end(), outer=0)


def _closed(data: bytes, at: int, *, outer: int) -> int:
    """Return where the bracket at *at* has closed; of what was cut off before it did, the end."""
    return _balanced(data, at, len(data), outer=outer) or len(data)


_LEVELS = (1, 2, 4, 8)
"""How many backslashes one is written as: in a text, in a text in JSON or printed Python, in such a one in another."""


def _balanced(data: bytes, at: int, stop: int, *, outer: int) -> int | None:
    """
    Return where the bracket at *at* has closed before *stop*; None if it has not.

    A text does not say how often it was quoted inside another.  Where that
    makes a difference, the farthest end that makes sense is returned.
    """
    ends = []
    for is_strict in (True, False):
        for unit in _LEVELS:
            end, counted = _balanced_at(data, at, stop, _Escapes(unit, outer, is_strict))
            if end is not None:
                ends.append(end)
            if not counted:
                # All ways to read it are the same.
                return end
        if ends:
            return max(ends)
    return None


@attrs.frozen
class _Escapes:
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


def _balanced_at(data: bytes, at: int, stop: int, escapes: _Escapes) -> tuple[int | None, bool]:
    """
    Return where the bracket has closed, None if it has not, and whether a backslash before a quote counted.

    Brackets of other kinds do not matter: where it closes, they have.
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
                return place, counted
        else:
            quote = found[0].lstrip(b"\\")
            slashes = len(found[0]) - len(quote)
            counted = counted or slashes > 0
            if byte == 0x22 and slashes < escapes.outer:
                # The text that all of this stands in is over.
                return found.start(), counted
            if byte == 0x27 and _is_apostrophe(data, found.start()):
                continue
            ending, has_escapes = _ending(data, place, stop, quote, slashes, escapes)
            counted = counted or has_escapes
            if ending is None:
                return None, counted
            place = ending.end()
            if place - ending.start() - len(quote) < slashes:
                return ending.start(), counted
    return None, counted


def _ending(
    data: bytes, at: int, stop: int, quote: bytes, slashes: int, escapes: _Escapes
) -> tuple[re.Match[bytes] | None, bool]:
    """Return the end of a text that begins at *at*, None if it has none, and whether a backslash in it counted."""
    unit, counted = escapes.unit, False
    if escapes.is_strict and slashes >= unit:
        return None, True
    for found in _ENDINGS[quote].finditer(data, at, stop):
        before = len(found[0]) - len(quote) - slashes
        counted = counted or before != 0
        if escapes.is_strict and before > 0 and before % unit:
            break
        if before < 0 or before // unit % 2 == 0:
            return found, counted
    return None, counted


def _is_apostrophe(data: bytes, at: int) -> bool:
    """Return whether the ``'`` at *at* stands in a word: behind a letter that is no prefix of a text."""
    before = data[max(0, at - 4) : at]
    word = before[len(before.rstrip(_LETTERS)) :]
    if before[: -len(word)].endswith(b"\\") and word[:1] in (b"n", b"r", b"t"):
        word = word[1:]
    return len(word) > 2 or word.strip(b"bBrRuUfF") != b""


_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_" + bytes(range(128, 256))


# -- YAML ---------------------------------------------------------------------


@attrs.frozen
class _Key:
    """A name that is a key of YAML: its column, and how lines end there."""

    column: int
    slashes: int
    quote: bytes


_INDENT = rb"(?P<indent>[ \t]*+(?:-[ \t]++)*+)"
_BARE = _INDENT + rb"[\w.\x80-\xff-]*+\Z"
_QUOTED = _INDENT + rb"\\*+[\"'][\w .\x80-\xff-]*+\Z"
_FROM_LINE = rb"(?s:.*)(?:\A|[\r\n]|(?<!\\)(?P<slashes>\\{1,15})n)"
_FROM_QUOTE = rb"(?s:.*)(?P<enclosing>[\"'])"
_HEADS = {
    False: (re.compile(_FROM_LINE + _BARE), re.compile(_FROM_QUOTE + _BARE)),
    True: (re.compile(_FROM_LINE + _QUOTED), re.compile(_FROM_QUOTE + _QUOTED)),
}
_FARTHEST_HEAD = 256
_FARTHEST_QUOTE = 16384
_NESTED = 16


def _yaml_key(data: bytes, match: re.Match[bytes]) -> _Key | None:
    """Return the name as a key of YAML, first in its line or in a text in quotes; None if it is none."""
    low = max(0, match.start() - _FARTHEST_HEAD)
    head = (b"\0" if low else b"") + data[low : match.start()]
    from_line, from_quote = _HEADS[_has_quote(match)]
    if found := from_line.match(head):
        slashes = _escape_of(found["slashes"] or b"")
        return _Key(len(found["indent"]), slashes, _quote_around(data, match.start(), slashes) if slashes else b"")
    if found := from_quote.match(head):
        escaped = _ESCAPED_BREAK.search(data, match.end(), match.end() + _FARTHEST_HEAD)
        return _Key(len(found["indent"]), _escape_of(escaped[1]) if escaped else 0, found["enclosing"])
    return None


def _escape_of(run: bytes) -> int:
    """Return how many backslashes of *run* escape what follows: those before are backslashes themselves."""
    return len(run) & -len(run)


_ESCAPED_BREAK = re.compile(rb"(?<!\\)(\\{1,15})n")


def _quote_around(data: bytes, at: int, slashes: int) -> bytes:
    """
    Return the quote that a text with breaks of so many *slashes* stands in that goes on at *at*.

    A ``'`` may be an apostrophe: it counts only where there is no other quote.
    """
    low = max(0, at - _FARTHEST_QUOTE)
    for quote in (b'"', b"'"):
        place = at
        for _ in range(_NESTED):
            place = data.rfind(quote, low, place)
            if place < 0:
                break
            before = data[max(0, place - 16) : place]
            if len(before) - len(before.rstrip(b"\\")) < slashes and not (
                quote == b"'" and _is_apostrophe(data, place)
            ):
                return quote
    return b'"'


_PROPERTIES = re.compile(rb"(?:(?:&[A-Za-z0-9_.-]++|![A-Za-z0-9_./:!-]*+)(?:[ \t]++|(?=[\r\n\\]|\Z)))++")
_INDICATOR = re.compile(rb"[|>][0-9+-]{0,3}[ \t]*+(?:#[^\r\n\\]*+)?(?=[\r\n]|\\{1,7}[nr])")


def _yaml_span(data: bytes, match: re.Match[bytes], at: int) -> Span | None:
    """Return what a key of YAML has in the lines below it, or behind a tag; None if it is no secret, or not there."""
    is_below, first = at > match.end(), data[at : at + 1]
    if not is_below and first not in (b"&", b"!", b"|", b">", b'"', b"'"):
        return None
    key = _yaml_key(data, match)
    if key is None:
        return None
    if not is_below and first in (b'"', b"'"):
        return _text_over_lines(data, at, key)
    behind = _after(_PROPERTIES, data, at)
    if literal := _INDICATOR.match(data, behind):
        return _block_span(data, match, literal.end(), key, is_literal=True)
    if _after(_BREAKS, data, behind) > behind or is_below:
        return _block_span(data, match, match.end() if is_below else behind, key, is_literal=False)
    if behind == at:
        return None
    if data[behind : behind + 1] in (b"[", b"{"):
        return behind, _closed(data, behind, outer=0)
    if opening := OPENING.match(data, behind):
        return quoted_span(data, opening)
    word = scalar_span(data, match, behind)
    # A secret may begin like a tag.
    return (at, word[1]) if word else None


def _text_over_lines(data: bytes, at: int, key: _Key) -> Span | None:
    """Return a text in quotes that goes on in lines that are indented deeper; None if it ends in its first."""
    opening = OPENING.match(data, at)
    if opening is None or key.quote or key.slashes or len(opening["quote"]) > 1 or opening["slashes"]:
        return None
    quote, line_end, escapes = opening["quote"], _end_of_line(data, at), _Escapes(1, 0, False)
    if _ending(data, opening.end(), line_end, quote, 0, escapes)[0]:
        return None
    end = line_end
    for line in _lines(data, line_end, key):
        if line.indent <= key.column and line.start < line.end:
            break
        if closing := _ending(data, line.start, line.end, quote, 0, escapes)[0]:
            return opening.end(), closing.end() - 1
        end = max(end, line.end)
    return (opening.end(), end) if end > line_end else None


@attrs.frozen
class _Line:
    """A line: how far it is indented, and where what is in it begins and ends."""

    indent: int
    start: int
    end: int


def _block_span(data: bytes, match: re.Match[bytes], at: int, key: _Key, *, is_literal: bool) -> Span | None:
    """Return the lines after *at* that belong to *key*: those that are indented deeper, or are items of its list."""
    begin = end = -1
    is_list = False
    for line in _lines(data, at, key):
        if line.start >= line.end:
            continue
        is_item = line.indent == key.column and not is_literal and _DASH.match(data, line.start) is not None
        if begin < 0:
            is_list = is_item
            if not is_literal and _is_remark(data, line, match["name"]):
                return None
        if line.indent <= key.column and not (is_list and is_item):
            break
        begin, end = line.start if begin < 0 else begin, line.end
    return (begin, end) if begin >= 0 else None


def _is_remark(data: bytes, line: _Line, name: bytes) -> bool:
    """Return whether the first line below a name is prose or code rather than a value."""
    dashes = _DASHES.match(data, line.start, line.end)
    at = dashes.end() if dashes else line.start
    word = _WORD.match(data, at, line.end)
    if word is None or word[0].endswith(b":"):
        return is_template(data, at)
    return _is_said(data, word, name) and (word.end() < line.end or at == line.start)


_DASH = re.compile(rb"-(?:\s|\\|\Z)")
_DASHES = re.compile(rb"(?:-(?:[ \t]++|\Z))*+")


def _lines(data: bytes, at: int, key: _Key) -> Iterator[_Line]:
    """Yield the lines after the one that *at* is in, to the end of the text that *key* stands in."""
    ends = _line_ends(key.slashes, key.quote)
    is_first = True
    while True:
        found = ends.search(data, at)
        end = found.start("end") if found and found["end"] is not None else found.start() if found else len(data)
        if not is_first:
            line = data[at:end]
            start = at + len(line) - len(line.lstrip(b" \t"))
            yield _Line(start - at, start, start + len(_stripped(data[start:end])))
        if found is None or (key.slashes and found[0][-1:] != b"n"):
            return
        at, is_first = found.end(), False


def _stripped(line: bytes) -> bytes:
    return _ESCAPED_RETURN.sub(b"", line.rstrip())


_ESCAPED_RETURN = re.compile(rb"\\{1,7}r\Z")


@functools.cache
def _line_ends(slashes: int, quote: bytes) -> re.Pattern[bytes]:
    """Return what ends a line: a break, or in a text in quotes an escaped one; there the quote ends all."""
    if not slashes:
        return re.compile(rb"(?P<end>)(?:\r?\n|\r)")
    backslashes = rb"(?<!\\)(?:\\{%d})*+" % (2 * slashes)
    return re.compile(
        backslashes + rb"(?P<end>)\\{%d}n|" % slashes + backslashes + rb"\\{0,%d}%s|[\r\n]" % (slashes - 1, quote)
    )


def _end_of_line(data: bytes, at: int) -> int:
    newline = data.find(b"\n", at)
    return len(data) if newline < 0 else newline


# -- XML ----------------------------------------------------------------------

_FARTHEST_TAG = 16384


def element_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return all that stands in an XML element but the blanks around it; what never closes ends at the next tag."""
    if match["rest"].endswith(b"/"):
        return None
    end = _end_of_element(data, match.end(), match["tag"])
    if end is None:
        is_text = not match["rest"] and data[match.end() : match.end() + 1].strip(b"<")
        return tag_span(data, match) if is_text and not data[match.end() : match.end() + 1].isspace() else None
    return _stripped_span(data, match.end(), end)


def _stripped_span(data: bytes, start: int, end: int) -> Span | None:
    held = data[start:end].rstrip()
    value = held.lstrip()
    return (start + len(held) - len(value), start + len(held)) if value and not is_stand_in(value) else None


def _end_of_element(data: bytes, at: int, tag: bytes) -> int | None:
    """Return where the closing tag of an element *tag* begins; None if there is none near."""
    start, most = at, at + _FARTHEST_TAG
    for _ in range(_NESTED):
        ends = (_tag_at(data, slash + tag, at, most) for slash in (b"</", b"<\\/"))
        end = min((each for each in ends if each >= 0), default=-1)
        if end < 0:
            return None
        # One of the same name that opens in between has to close first.
        start = _tag_at(data, b"<" + tag, start, end) + 1
        if not start:
            return end
        at = end + 1
    return None


def _tag_at(data: bytes, begun: bytes, at: int, most: int) -> int:
    """Return where a tag begins with *begun* and no longer name; -1 if there is none before *most*."""
    for _ in range(_NESTED):
        at = data.find(begun, at, most)
        if at < 0 or data[at + len(begun) : at + len(begun) + 1] not in _NAME_BYTES:
            return at
        at += 1
    return -1


_NAME_BYTES = frozenset(bytes([byte]) for byte in _KEY_BYTES + b":")


_VALUE_IS = re.compile(rb"(?i:value)\\{0,7}[\"']?[ \t]{0,4}[=:][ \t\r\n]{0,64}")
_BOUNDARY = re.compile(rb"[<>{}]")
_BETWEEN_ATTRIBUTES = re.compile(rb"\\{0,7}[\"'][^<>{}]*+\Z")
_NEAR, _FAR = 1024, 16384


def named_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return what ``name="password"`` is about: ``value="..."`` in the same tag or map, or what the element holds."""
    boundary = _BOUNDARY.search(data, match.end(), match.end() + _NEAR)
    limit = boundary.start() if boundary else min(len(data), match.end() + _NEAR)
    for begun in _VALUE_IS.finditer(data, match.end(), limit + 1):
        if not data[begun.start() - 1 : begun.start()].isalnum():
            return _field_span(data, begun.end())
    if before := _field_before(data, match.start()):
        return before
    if boundary is None or boundary[0] != b">" or data[limit - 1 : limit] == b"/":
        return None
    opening = data.rfind(b"<", max(0, match.start() - _NEAR), match.start())
    tag = _TAG.match(data, opening + 1) if opening >= 0 else None
    end = _end_of_element(data, limit + 1, tag[0]) if tag else None
    return None if end is None else _stripped_span(data, limit + 1, end)


_TAG = re.compile(rb"[A-Za-z0-9_:.-]+")


def _field_span(data: bytes, at: int) -> Span | None:
    if data[at : at + 1] in (b"[", b"{"):
        return None if _PLACEHOLDER.match(data, at) or is_template(data, at) else (at, _closed(data, at, outer=0))
    opening = OPENING.match(data, at)
    return quoted_span(data, opening) if opening else None


def _field_before(data: bytes, at: int) -> Span | None:
    """Return the last value whose text ends before *at*, with attributes or other fields in between."""
    low, place = max(0, at - _FAR), at
    for _ in range(_NESTED):
        place = max(data.rfind(b"value", low, place), data.rfind(b"Value", low, place))
        begun = _VALUE_IS.match(data, place) if place >= 0 else None
        if place < 0:
            break
        opening = OPENING.match(data, begun.end()) if begun else None
        span = quoted_span(data, opening) if opening else None
        if span and span[1] < at and _BETWEEN_ATTRIBUTES.match(data[span[1] : at]):
            return span
    return None


# -- names that are escaped ---------------------------------------------------

_ESCAPE = re.compile(rb"\\{1,8}(?:u00|x)([0-9a-fA-F]{2})")
_BEFORE_ESCAPE = re.compile(rb"(?:.*[^\\])?(?P<key>\\{0,7}[\"'][\w .:/-]{0,64}\\{0,7})\Z", re.DOTALL)
_ESCAPED_KEY = re.compile(
    rb"\\{0,7}[\"'](?P<name>(?:[\w .:/-]|\\{1,8}(?:u00|x)[0-9a-fA-F]{2}){1,200}+)(?P<plural>)(?P<quote>\\{0,7}[\"'])"
    rb"(?P<gap>[ \t\r\n]{0,64}+)(?P<separator>(?:=>|:)[ \t]*+)"
)


def escaped_name_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return the value of a name with escaped letters, ``"pass\\u0077ord": "..."``, that *match* is the first of."""
    head = _BEFORE_ESCAPE.match(data[max(0, match.start() - 96) : match.start()])
    key = _ESCAPED_KEY.match(data, match.start() - len(head["key"])) if head else None
    if key is None:
        return None
    name = _ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), key["name"])
    return value_span(data, key) if is_secret_name(name) else None
