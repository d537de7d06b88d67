"""
Where a value under a secret's name ends in a text: at its bracket, its tag, its dedent; since ``secrets/3``.

Texts are cut, quoted and encoded again before they get here, so no parser of a
notation would take them.  What is hidden ends where the value does; where
that cannot be told it is rather too much.  All of it takes time linear in the
text: what is looked at for long is hidden, and not looked at again.
"""

from __future__ import annotations

import re

from replaykit.redactors.blocks import block_span, end_of_line, yaml_key, yaml_span
from replaykit.redactors.brackets import LEVELS, Escapes, balanced, closed, closing, end_of_text, is_looked_at_again
from replaykit.redactors.pairs import (
    BREAKS,
    KEY_BYTES,
    OPENING,
    PLACEHOLDER,
    WORD,
    Span,
    after,
    has_quote,
    is_said,
    is_secret_name,
    is_template,
    pair_span,
    quoted_span,
    scalar_span,
)

__all__ = ["escaped_name_span", "value_span"]


def value_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return where the value after a name and a separator is, whatever its structure; None if it is no secret."""
    if has_quote(match):
        # Each value is asked for again once it has been replaced.
        if hidden := _HIDDEN_TEXT.match(data, match.end()):
            return hidden.span("placeholders")
    elif match["gap"].strip(b" \t"):
        return None
    at = after(BREAKS, data, match.end())
    # Many of them in one bare word are mostly a count.
    is_count = match["plural"] and not (has_quote(match) and OPENING.match(data, match.end()))
    word = None if is_count else pair_span(data, match)
    structure = None if PLACEHOLDER.match(data, at) else _structure_span(data, match, at, word)
    if structure is None or word is None:
        return structure or word
    return min(structure[0], word[0]), max(structure[1], word[1])


# What follows it cannot go on below.
_HIDDEN_TEXT = re.compile(
    rb"(?P<opening>\\{0,7}[\"'])(?P<placeholders>(?:\[redacted:[a-z]+\])++)(?P=opening)(?=[,;:)}\]])"
)


def _structure_span(data: bytes, match: re.Match[bytes], at: int, word: Span | None) -> Span | None:
    """Return the value that begins at *at*, behind blanks and breaks, if it is more than *word*, beside the name."""
    is_quoted, is_below = has_quote(match), at > match.end()
    is_colon = match["separator"].rstrip() == b":"
    if data[at : at + 1] in (b"[", b"{", b"(") and (is_quoted or not (is_below and is_colon)):
        return _bracket_span(data, match, at)
    opening = OPENING.match(data, at)
    if is_colon and not (is_quoted and is_below and opening) and (found := yaml_span(data, match, at)):
        return found
    if printed := _printed_object_span(data, match, at):
        return printed
    if opening and is_quoted:
        # Behind ``if kind == "token":`` a docstring may begin.
        is_docstring = is_below and len(opening["quote"]) > 1
        span = None if is_docstring else quoted_span(data, opening) if is_below else word
        return _with_texts_below(data, opening, span)
    if opening and is_below:
        return quoted_span(data, opening) if b"=" in match["separator"] else None
    return scalar_span(data, match, at) if is_below and is_quoted and _NUMBER.match(data, at) else None


_NUMBER = re.compile(rb"-?[0-9]")


def _with_texts_below(data: bytes, opening: re.Match[bytes], span: Span | None) -> Span | None:
    """Return *span*, of the text that *opening* begins, with those that Python's printer puts into the next lines."""
    if span is None:
        return None
    farthest = span[1]
    for unit in LEVELS:
        end, counted = _end_of_texts(data, opening, unit)
        farthest = max(farthest, end)
        if not counted:
            # All ways to read them are the same.
            break
    return span[0], farthest


def _end_of_texts(data: bytes, opening: re.Match[bytes], unit: int) -> tuple[int, bool]:
    """Return where the last of texts below each other ends, -1 if none does, and whether a backslash counted."""
    last, counted = -1, False
    begun: re.Match[bytes] | None = opening
    while begun:
        quote, slashes = begun["quote"], len(begun["slashes"])
        ending, _, has_escapes = end_of_text(data, begun.end(), len(data), quote, slashes, Escapes(unit, 0, True))
        counted = counted or has_escapes or slashes > 0
        end = ending.end() - len(quote) - slashes if ending else -1
        if ending is None or (len(quote) == 1 and data.find(b"\n", begun.end(), end) >= 0):
            break
        last = end
        below = _TEXT_BELOW.match(data, ending.end())
        begun = OPENING.match(data, below.end()) if below else None
    return last, counted


_TEXT_BELOW = re.compile(rb"(?=[ \t]*(?:[\r\n]|\\{1,7}n))(?:[ \t\r\n]|\\{1,7}[nr])*+(?=[bBrRuUfF]{0,2}\\{0,7}[\"'])")


# -- brackets -----------------------------------------------------------------

_INSIDE = re.compile(rb"(?:[\s\[{(]|\\{1,7}[nrt])*+")
_LITERAL = re.compile(rb"(?:[bBrRuUfF]{0,2}|[A-Za-z_][\w.]{0,40}[ \t]*[=:][ \t]*[bBrRuUfF]{0,2})\\{0,7}[\"']")
_FIELD_NAME = re.compile(rb"[\w.-]++[ \t]*:[ \t]")
_SOON = 256


def _bracket_span(data: bytes, match: re.Match[bytes], at: int) -> Span | None:
    """Return a list, map or tuple; beside a bare name only what is a value rather than code or a remark."""
    inside = after(_INSIDE, data, at)
    if data[inside : inside + 1] in (b"]", b"}", b")", b"") or is_template(data, at):
        return None
    outer = match["quote"].count(b"\\") if b'"' in match["quote"] else 0
    if has_quote(match) or _LITERAL.match(data, inside) or _is_keyword_with_literal(data, match, at):
        return at, closed(data, at, outer=outer)
    word = WORD.match(data, inside)
    if data[at : at + 1] == b"(" or match["separator"].rstrip() != b":" or word is None:
        return None
    is_list = _FIELD_NAME.match(data, inside) or data[word.end() : word.end() + 1] == b","
    if not is_list and is_said(data, word, match["name"]):
        return None
    return _flow_span(data, match, at, outer)


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


def _flow_span(data: bytes, match: re.Match[bytes], at: int, outer: int) -> Span | None:
    """Return a bare list or map at *at* as YAML ends it; None if the name is no key of it."""
    key = yaml_key(data, match)
    if key is None:
        before = data[max(0, match.start() - 64) : match.start()].rstrip(KEY_BYTES)
        if before.rstrip()[-1:] not in (b"{", b","):
            return None
    # Most close in their line; where a long one or a block ends is not asked for each list in it.
    near = end_of_line(data, at, at + _NEAR)
    end, is_certain = closing(data, at, near, outer=outer)
    if end is not None and is_certain:
        return at, end
    below = block_span(data, match, at, key, is_literal=True) if key else None
    stop = max(below[1] if below else 0, end_of_line(data, near, len(data)))
    end = balanced(data, at, stop, outer=outer)
    return at, stop if end is None or is_looked_at_again(data, end, stop) else end


_NEAR = 4096

_PRINTED = re.compile(
    rb"(?:[A-Za-z_]\w*\.){0,8}+(?:[A-Z]\w*|frozenset|set|deque|mappingproxy|defaultdict|array|dict|list|tuple)(?=\()"
)


def _printed_object_span(data: bytes, match: re.Match[bytes], at: int) -> Span | None:
    """Return a printed object with a text in it: ``Login(user='bob', ...)``, ``frozenset({'...'})``."""
    if not has_quote(match) and (match["separator"] != b"=" or match["gap"]):
        return None
    called = _PRINTED.match(data, at)
    if called is None or not _has_text_inside(data, called.end()):
        return None
    return at, closed(data, called.end(), outer=0)


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
