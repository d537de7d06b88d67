"""What an element of XML holds, and what a field that is called like a secret is about."""

from __future__ import annotations

import re

from replaykit.redactors.brackets import closed
from replaykit.redactors.pairs import (
    KEY_BYTES,
    NESTED,
    OPENING,
    PLACEHOLDER,
    Span,
    is_stand_in,
    is_template,
    quoted_span,
    tag_span,
)

__all__ = ["element_span", "named_span"]

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
    # What is nowhere near is looked for once, not behind each tag of the same name.
    closers = [closer for slash in (b"</", b"<\\/") if data.find(closer := slash + tag, at, most) >= 0]
    for _ in range(NESTED):
        ends = (_tag_at(data, closer, at, most) for closer in closers)
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
    for _ in range(NESTED):
        at = data.find(begun, at, most)
        if at < 0 or data[at + len(begun) : at + len(begun) + 1] not in _NAME_BYTES:
            return at
        at += 1
    return -1


_NAME_BYTES = frozenset(bytes([byte]) for byte in KEY_BYTES + b":")


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
        return None if PLACEHOLDER.match(data, at) or is_template(data, at) else (at, closed(data, at, outer=0))
    opening = OPENING.match(data, at)
    return quoted_span(data, opening) if opening else None


def _field_before(data: bytes, at: int) -> Span | None:
    """Return the last value whose text ends before *at*, with attributes or other fields in between."""
    low, place = max(0, at - _FAR), at
    words = [word for word in (b"value", b"Value") if data.rfind(word, low, at) >= 0]
    for _ in range(NESTED):
        place = max((data.rfind(word, low, place) for word in words), default=-1)
        begun = _VALUE_IS.match(data, place) if place >= 0 else None
        if place < 0:
            break
        opening = OPENING.match(data, begun.end()) if begun else None
        span = quoted_span(data, opening) if opening else None
        if span and span[1] < at and _BETWEEN_ATTRIBUTES.match(data[span[1] : at]):
            return span
    return None
