"""What a key of YAML has below it or behind a tag: a block to its dedent, a list, a text over several lines."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

import attrs

from replaykit.redactors.brackets import FAR, Escapes, closed, end_of_text, is_apostrophe
from replaykit.redactors.pairs import (
    BREAKS,
    KEY_BYTES,
    NESTED,
    OPENING,
    WORD,
    Span,
    after,
    has_quote,
    is_said,
    is_template,
    quoted_span,
    scalar_span,
)

__all__ = ["block_span", "end_of_line", "yaml_key", "yaml_span"]


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


def yaml_key(data: bytes, match: re.Match[bytes]) -> _Key | None:
    """Return the name as a key of YAML, first in its line or in a text in quotes; None if it is none."""
    low = max(0, match.start() - _FARTHEST_HEAD)
    head = (b"\0" if low else b"") + data[low : match.start()]
    is_quoted = has_quote(match)
    near = _line_of(head, is_quoted)
    if near is None:
        return None
    from_line, from_quote = _HEADS[is_quoted]
    if found := from_line.match(near):
        slashes = _escape_of(found["slashes"] or b"")
        return _Key(len(found["indent"]), slashes, _quote_around(data, match.start(), slashes) if slashes else b"")
    if found := from_quote.match(near):
        escaped = _ESCAPED_BREAK.search(data, match.end(), match.end() + _FARTHEST_HEAD)
        return _Key(len(found["indent"]), _escape_of(escaped[1]) if escaped else 0, found["enclosing"])
    return None


def _line_of(head: bytes, is_quoted: bool) -> bytes | None:
    """Return the end of *head* that a key can begin in; None where none does: the patterns try each byte of it."""
    rest = head.rstrip(_OF_QUOTED_KEYS if is_quoted else _OF_KEYS)
    if is_quoted:
        if rest[-1:] not in (b'"', b"'"):
            return None
        rest = rest[:-1].rstrip(b"\\")
    rest = rest.rstrip(b" \t-")
    if rest[-1:] not in _BEFORE_KEYS:
        return None
    low = len(rest) - _LONGEST_BREAK
    return b"\0" + head[low:] if low > 0 else head


_OF_KEYS = KEY_BYTES + bytes(range(128, 256))
_OF_QUOTED_KEYS = _OF_KEYS + b" "
# An escaped break begins with backslashes, and its n may be taken for a letter of the key.
_BEFORE_KEYS = frozenset((b"", b"\n", b"\r", b"n", b"\\", b'"', b"'"))
_LONGEST_BREAK = 20


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
        for _ in range(NESTED):
            place = data.rfind(quote, low, place)
            if place < 0:
                break
            before = data[max(0, place - 16) : place]
            if len(before) - len(before.rstrip(b"\\")) < slashes and not (quote == b"'" and is_apostrophe(data, place)):
                return quote
    return b'"'


_PROPERTIES = re.compile(rb"(?:(?:&[A-Za-z0-9_.-]++|![A-Za-z0-9_./:!-]*+)(?:[ \t]++|(?=[\r\n\\]|\Z)))++")
_INDICATOR = re.compile(rb"[|>][0-9+-]{0,3}[ \t]*+(?:#[^\r\n\\]*+)?(?=[\r\n]|\\{1,7}[nr])")


def yaml_span(data: bytes, match: re.Match[bytes], at: int) -> Span | None:
    """Return what a key of YAML has in the lines below it, or behind a tag; None if it is no secret, or not there."""
    is_below, first = at > match.end(), data[at : at + 1]
    if not is_below and first not in (b"&", b"!", b"|", b">", b'"', b"'"):
        return None
    key = yaml_key(data, match)
    if key is None:
        return None
    if not is_below and first in (b'"', b"'"):
        return _text_over_lines(data, at, key)
    behind = after(_PROPERTIES, data, at)
    if literal := _INDICATOR.match(data, behind):
        return block_span(data, match, literal.end(), key, is_literal=True)
    if after(BREAKS, data, behind) > behind or is_below:
        return block_span(data, match, match.end() if is_below else behind, key, is_literal=False)
    if behind == at:
        return None
    if data[behind : behind + 1] in (b"[", b"{"):
        return behind, closed(data, behind, outer=0)
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
    quote, escapes = opening["quote"], Escapes(1, 0, False)
    ending = end_of_text(data, opening.end(), len(data), quote, 0, escapes)[0]
    # Not looked for beyond the quote: of many texts in a line, each would look at the rest of it.
    end = line_end = end_of_line(data, at, ending.start() if ending else len(data))
    if ending and line_end == ending.start():
        return None
    lines = _lines(data, line_end, key)
    next(lines)
    for line in lines:
        if line.indent <= key.column and line.start < line.end:
            break
        if closing := end_of_text(data, line.start, line.end, quote, 0, escapes)[0]:
            return opening.end(), closing.end() - 1
        end = max(end, line.end)
    return (opening.end(), end) if end > line_end else None


@attrs.frozen
class _Line:
    """A line: how far it is indented, and where what is in it begins and ends."""

    indent: int
    start: int
    end: int


def block_span(data: bytes, match: re.Match[bytes], at: int, key: _Key, *, is_literal: bool) -> Span | None:
    """Return the lines after *at* that belong to *key*: those that are indented deeper, or are items of its list."""
    begin = end = -1
    is_list = False
    lines = _lines(data, at, key)
    rest = next(lines)
    for line in lines:
        if line.start >= line.end:
            continue
        is_item = line.indent == key.column and not is_literal and _DASH.match(data, line.start) is not None
        if begin < 0:
            is_list = is_item
            if not is_literal and _is_remark(data, line, match["name"]):
                break
        if line.indent <= key.column and not (is_list and is_item):
            break
        begin, end = line.start if begin < 0 else begin, line.end
    if rest.end - at > FAR:
        # Looked at for long, and for the next name in this line it would be again.
        return at, max(rest.end, end)
    return (begin, end) if begin >= 0 else None


def _is_remark(data: bytes, line: _Line, name: bytes) -> bool:
    """Return whether the first line below a name is prose or code rather than a value."""
    dashes = _DASHES.match(data, line.start, line.end)
    at = dashes.end() if dashes else line.start
    word = WORD.match(data, at, line.end)
    if word is None or word[0].endswith(b":"):
        return is_template(data, at)
    return is_said(data, word, name) and (word.end() < line.end or at == line.start)


_DASH = re.compile(rb"-(?:\s|\\|\Z)")
_DASHES = re.compile(rb"(?:-(?:[ \t]++|\Z))*+")


def _lines(data: bytes, at: int, key: _Key) -> Iterator[_Line]:
    """Yield the rest of the line that *at* is in, and those after it, to the end of the text that *key* stands in."""
    ends = _line_ends(key.slashes, key.quote)
    while True:
        found = ends.search(data, at)
        end = found.start("end") if found and found["end"] is not None else found.start() if found else len(data)
        line = data[at:end]
        start = at + len(line) - len(line.lstrip(b" \t"))
        yield _Line(start - at, start, start + len(_stripped(data[start:end])))
        if found is None or (key.slashes and found[0][-1:] != b"n"):
            return
        at = found.end()


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


def end_of_line(data: bytes, at: int, stop: int) -> int:
    """Return where the line ends that *at* is in, or *stop* before it does."""
    newline = data.find(b"\n", at, stop)
    return min(len(data), stop) if newline < 0 else newline
