"""
Names and values: which names promise a secret, and where the value beside one ends in a text.

Recordings hold source code and prose as well as configuration.  What is
plainly code (``token = next(lines)``) or a word of explanation (``token:
optional``) stays; when in doubt it is hidden.
"""

from __future__ import annotations

import re

__all__ = [
    "BREAKS",
    "EXACT_NAME",
    "EXACT_NAME_OF_MANY",
    "KEY_BYTES",
    "NAME",
    "NAME_OF_MANY",
    "NESTED",
    "OPENING",
    "PLACEHOLDER",
    "PLURAL_NAME",
    "WORD",
    "Span",
    "after",
    "couple_span",
    "has_quote",
    "header_span",
    "is_code",
    "is_plain",
    "is_said",
    "is_secret_name",
    "is_stand_in",
    "is_template",
    "pair_span",
    "quoted_span",
    "scalar_span",
    "tag_span",
]

Span = tuple[int, int]
"""Where something begins in a text, and where it has ended."""

_KEYS = (b"api", b"auth", b"private", b"access", b"secret", b"signing", b"encryption", b"account")
_WORDS = (b"password", b"passwd", b"passphrase", b"secret", b"authorization", b"cookie", b"credentials?")

_PLURAL = (*_WORDS, *(key + rb"[-_. ]?key" for key in _KEYS))

PLURAL_NAME = rb"(?:" + b"|".join(_PLURAL) + rb")"
"""The names that promise secrets in the plural, too; tokens are mostly counted."""

NAME = rb"(?:" + b"|".join((*_PLURAL, b"token")) + rb")"
"""A name that promises a secret, in lower case; anything may stand before it, nothing after it."""

# A tokenizer's vocabulary is no secret.
_TOKEN = rb"(?<!\b(?:bos|eos|pad|unk|sep|cls)[-_])(?<!\bmask[-_])token"
EXACT_NAME = rb"(?:" + b"|".join((*_PLURAL, _TOKEN)) + rb")"
"""The same, without the names that only look so."""

NAME_OF_MANY = rb"(?:" + PLURAL_NAME + rb"s?|token)"
"""The same in the plural as well, as *NAME* is for Hyperscan."""

EXACT_NAME_OF_MANY = rb"(?P<name>" + PLURAL_NAME + rb"(?P<plural>s?)|" + _TOKEN + rb")"
"""The same, as *EXACT_NAME* is."""

_KEY_NAME = re.compile(rb"(?i:" + EXACT_NAME_OF_MANY + rb")\]?\Z")
# Before secrets/3 a plural in capitals was none.
_FIRST_KEY_NAME = re.compile(rb"(?i:" + EXACT_NAME + rb")(?P<plural>s?)\]?\Z")


def is_secret_name(name: bytes, *, number: bool = False, is_thorough: bool = True) -> bool:
    """
    Return whether the value under the key *name* is a secret.

    With *number* the value is one: under a plural name it is a count.
    Without *is_thorough* it is as it was before ``secrets/3``.
    """
    found = (_KEY_NAME if is_thorough else _FIRST_KEY_NAME).search(name[-64:])
    if found is None or name[-6:].lower() == b"tokens":
        return False
    return not (number and found["plural"])


# -- values in texts ----------------------------------------------------------

OPENING = re.compile(rb"[bBrRuUfF]{0,2}(?P<slashes>\\{0,7})(?P<quote>\"\"\"|'''|\"|')")
"""How a text in quotes begins."""

_VALUE = re.compile(rb"[^\s\"'`,;&<>(){}\[\]\\|]++(?:\[redacted:[a-z]+\])?")
_TO_BLANK = re.compile(rb"[^\s\"'`]++")
_LINES = {quote: re.compile(rb"(?:[^\r\n\\" + quote + rb"]|\\(?![nr]))*+") for quote in (b"", b'"', b"'", b"`")}
_TEMPLATE = re.compile(
    rb"\$?\{[^{}]*\}|\{\{[^{}]*\}\}|\$[A-Z_][A-Z0-9_]*|\$\([^)]*\)|%\(?[a-z]*\)?[sdr]"
    rb"|<[A-Za-z][\w ./-]*>|[*.xX]+"
)
_TEMPLATE_START = re.compile(rb"\$?\{[^{}]{0,64}\}|\$\(|%\([a-z_]{0,40}\)|<[A-Za-z][\w ./-]{0,40}>")
_FIELD = re.compile(
    rb"\$?\{(?:[0-9]{0,3}|[A-Za-z_][\w.()\[\]]*(?:![rsa])?(?::[<>=^]?[0-9,._]*[a-z%]?)?)\}"
    rb"|\$?\{[{%][^{}]{0,256}\}\}?|\$\("
)
_COUPLE_END = re.compile(rb"\\{0,7}[\"'],? ?\)")
_IDENTIFIER = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_CLASS_PATH = re.compile(rb"[A-Z][A-Za-z]*(?:\.[A-Z][A-Za-z]*)+")
_SMALL_NUMBER = re.compile(rb"[-+]?[0-9]{0,3}(?:\.[0-9]{1,3})?")
_ROOTS = frozenset(
    b"self cls this os env environ process settings config cfg conf args kwargs params opts options request "
    b"req ctx context data response resp result session event auth user client".split()
)
_LITERALS = (b"none", b"null", b"true", b"false")
_PLAIN_WORDS = frozenset(
    b"none null nil undefined true false yes no on off str string text bytes int integer number float bool "
    b"boolean object any optional required union literal final annotated secretstr dict list tuple type self "
    b"cls the a an is are was were be been has have had must should can may will not if for of to in or and "
    b"as at by this that these your my our their its it with from where which when what how who see use uses "
    b"used using and/or invalid missing expired empty redacted hidden masked unknown unset default await "
    b"async new lambda return function def class const let var import e.g. i.e. etc".split()
)


def pair_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return where the value after a name and a separator is; None if it is no secret."""
    at = match.end()
    opening = OPENING.match(data, at)
    if opening:
        return None if _closes_string(data, match, opening) else quoted_span(data, opening)
    return scalar_span(data, match, at)


def scalar_span(data: bytes, match: re.Match[bytes], at: int) -> Span | None:
    """Return the value at *at*, without quotes, of the name that *match* found; None if it is no secret."""
    separator = match["separator"].rstrip()
    if data[at : at + 1] in (b"=", b":", b">") or _TEMPLATE_START.match(data, at):
        return None
    if _is_environment_line(data, match):
        found = _TO_BLANK.match(data, at)
        return found.span() if found and not is_plain(found[0], match["name"]) else None
    found = _VALUE.match(data, at)
    if found is None or is_code(data, found, tight=bool(separator) and match["separator"] == separator):
        return None
    if is_plain(found[0], match["name"]) or _names_itself(data, match, found[0]):
        return None
    return found.span()


def header_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return the rest of an HTTP header: to the quote before its name, else to the end of the line."""
    at = match.end()
    first = _VALUE.match(data, at)
    if first is None or is_code(data, first, tight=False) or is_plain(first[0], match["name"]):
        return None
    before = data[max(0, match.start() - 16) : match.start()]
    name_start = len(before.rstrip(b"-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    quote = before[name_start - 1 : name_start] if name_start else b""
    line = _LINES.get(quote, _LINES[b""]).match(data, at)
    return at, max(first.end(), line.end() if line else at)


def couple_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return the second item of a printed ``('name', 'value')``; None if more items follow."""
    opening = OPENING.match(data, match.end())
    span = quoted_span(data, opening) if opening else None
    return span if span and _COUPLE_END.match(data, span[1]) else None


def tag_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return the text of an XML element."""
    end = data.find(b"<", match.end(), match.end() + 65536)
    value = data[match.end() : end]
    return None if end < 0 or _TEMPLATE.fullmatch(value) else (match.end(), end)


def _closes_string(data: bytes, match: re.Match[bytes], opening: re.Match[bytes]) -> bool:
    """Return whether the quote ends the text that the name stands in: ``input("Password: ")``."""
    if data[opening.end() : opening.end() + 1] not in (b")", b",", b"]", b"}"):
        return False
    line = data[max(0, match.start() - 200) : match.end()].rpartition(b"\n")[2]
    return line.count(opening["quote"]) % 2 == 1


def quoted_span(data: bytes, opening: re.Match[bytes]) -> Span | None:
    """Return the text that *opening* begins; None if it is a template, or nothing."""
    start, quote, slashes = opening.end(), opening["quote"], len(opening["slashes"])
    end = _closing(data, start, quote, slashes)
    value = data[start:end]
    if not value.strip() or _TEMPLATE.fullmatch(value) or value.lower() in _LITERALS:
        return None
    return start, end


def _closing(data: bytes, start: int, quote: bytes, slashes: int) -> int:
    """Return where a quoted text ends: at its quote, escaped no deeper, else at the end of the line."""
    seen = start
    while (at := data.find(quote, seen)) >= 0:
        # Look for the line's end only up to the quote: a search of the whole
        # rest, for each quote, would make a long line quadratic.
        newline = data.find(b"\n", seen, at) if len(quote) == 1 else -1
        if newline >= 0:
            return newline
        run = data[max(start, at - 16) : at]
        depth = len(run) - len(run.rstrip(b"\\"))
        if depth <= slashes:
            return at - depth
        seen = at + 1
    newline = data.find(b"\n", seen)
    return newline if newline >= 0 else len(data)


def is_stand_in(value: bytes) -> bool:
    """Return whether *value* is nothing but a placeholder of a template, or asterisks."""
    return _TEMPLATE.fullmatch(value) is not None


def is_template(data: bytes, at: int) -> bool:
    """Return whether a placeholder of a template begins at *at*, rather than a map."""
    return _FIELD.match(data, at) is not None


def _is_environment_line(data: bytes, match: re.Match[bytes]) -> bool:
    """Return whether this is ``NAME=value`` as shells write it: capitals, no blanks, first in its line."""
    if match["separator"] != b"=" or match["name"] != match["name"].upper():
        return False
    before = data[max(0, match.start() - 64) : match.start()]
    before = before.rstrip(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
    return not before or before[-1:] in b"\n\r \t"


def is_plain(value: bytes, name: bytes) -> bool:
    """Return whether *value* is a word of prose, a type, a count, a template or *name* itself."""
    word = value.rstrip(b".:!?*").lower()
    if not word or word in _PLAIN_WORDS or word == name.lower():
        return True
    return bool(_SMALL_NUMBER.fullmatch(value) or _TEMPLATE.fullmatch(value))


def is_code(data: bytes, found: re.Match[bytes], *, tight: bool) -> bool:
    """Return whether the unquoted value is an expression of a program."""
    if not _IDENTIFIER.fullmatch(found[0]):
        return False
    root, dot, _ = found[0].partition(b".")
    if data[found.end() : found.end() + 1] in (b"(", b"[") or (dot and root.lower() in _ROOTS):
        return True
    return not tight and (len(found[0]) < 3 or _CLASS_PATH.fullmatch(found[0]) is not None)


def _names_itself(data: bytes, match: re.Match[bytes], value: bytes) -> bool:
    """Return whether a variable is passed on under its own name, as in ``password=db_password``."""
    if not _IDENTIFIER.fullmatch(value):
        return False
    before = data[max(0, match.start() - 64) : match.start()]
    whole = before[len(before.rstrip(_NAME_BYTES)) :] + match["name"]
    last = value.split(b".")[-1].lower()
    return last == whole.lower() or last.endswith(b"_" + match["name"].lower())


_NAME_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"


# -- what is looked for around values -----------------------------------------

PLACEHOLDER = re.compile(rb"\[redacted:[a-z]+\]")
"""What stands for a secret that was hidden before."""

BREAKS = re.compile(rb"(?:[ \t\r\n]|\\{1,7}[nrt])*+")
"""Blanks and ends of lines, also escaped ones."""

WORD = re.compile(rb"[^\s\"'`,;&<>(){}\[\]\\|]++")
"""A word without quotes, brackets or separators."""

KEY_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
"""What keys that are not quoted are made of."""

NESTED = 16
"""So often a sign is looked for again, before which others of its kind may stand."""


def has_quote(match: re.Match[bytes]) -> bool:
    """Return whether the name that *match* found stands in quotes."""
    return b'"' in match["quote"] or b"'" in match["quote"]


def after(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    """Return where what *pattern* matches at *at* ends: there, if it is nothing."""
    found = pattern.match(data, at)
    return found.end() if found else at


def is_said(data: bytes, word: re.Match[bytes], name: bytes) -> bool:
    """Return whether *word* belongs to a program or an explanation."""
    return is_plain(word[0], name) or is_code(data, word, tight=True)
