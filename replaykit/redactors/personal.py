"""
A person's data, the set ``"pii"``: e-mail addresses, phone numbers, payment cards and IBANs.

Digits alone prove little, so cards must have a network's length and prefix
and a right Luhn digit, IBANs a country's length and a right checksum, phone
numbers a shape that people write: ``+49 151 23456789``, ``(415) 555-0132``.
"""

from __future__ import annotations

import re

from replaykit.redactors.rule import Rule, Span

__all__ = ["PERSONAL"]

_LOCAL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.!#$%&*+/=?^_`{|}~-" + bytes(range(128, 256))
_LONGEST_LOCAL = 64


def _email_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return the address around a match that begins at its ``@``; None without anything before it."""
    before = data[max(0, match.start() - _LONGEST_LOCAL) : match.start()]
    start = match.start() - (len(before) - len(before.rstrip(_LOCAL)))
    return (start, match.end()) if start < match.start() else None


def _digits_span(data: bytes, at: int, most: int) -> list[tuple[int, bytes]]:
    """Return (end, digits) for each count of digits from *at* after which none follows, longest first."""
    found, digits = [], b""
    while (run := _DIGITS.match(data, at)) and len(digits) + len(run[0]) <= most:
        digits += run[0]
        at = run.end()
        goes_on = data[at : at + 1]
        if not (goes_on.isalnum() or goes_on == b"_"):
            found.append((at, digits))
        # One separator may stand between two digits.
        if goes_on not in (b" ", b"-"):
            break
        at += 1
    return found[::-1]


_DIGITS = re.compile(rb"[0-9]++")


# -- payment cards --------------------------------------------------------------

_NETWORKS = re.compile(
    rb"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    rb"|(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)[0-9]*(?<=^[0-9]{16})"  # Mastercard
    rb"|3[47][0-9]{13}"  # American Express
    rb"|3(?:0[0-5]|[68])[0-9]*(?<=^[0-9]{14})"  # Diners Club
    rb"|(?:6011|65|64[4-9]|62|35(?:2[89]|[3-8]))[0-9]*"  # Discover, UnionPay, JCB
    rb"|(?:50|5[6-8]|6)[0-9]*"  # Maestro
)
_SHORTEST_CARD, _LONGEST_CARD = 13, 19


def _card_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    for end, digits in _digits_span(data, match.start(), _LONGEST_CARD):
        if len(digits) >= _SHORTEST_CARD and _NETWORKS.fullmatch(digits) and _has_luhn_digit(digits):
            return match.start(), end
    return None


def _has_luhn_digit(digits: bytes) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = (digit - 48) << (place & 1)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


# -- bank accounts ----------------------------------------------------------------

_LENGTHS = {
    length: frozenset(countries.encode().split())
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD FK", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH CR HR LI LV", 22: "BG BH DE GB GE IE ME RS", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC",
        33: "RU",
    }.items()
}  # fmt: skip
_LENGTH_OF = {country: length for length, countries in _LENGTHS.items() for country in countries}


def _iban_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return the account number if it is as long as its country's are and its checksum is right."""
    wanted = _LENGTH_OF.get(match[0][:2].upper())
    if wanted is None:
        return None
    at, taken = match.start(), bytearray()
    while at < len(data) and len(taken) < wanted:
        if data[at : at + 1].isalnum():
            taken += data[at : at + 1].upper()
        elif data[at : at + 1] not in (b" ", b"-") or not data[at + 1 : at + 2].isalnum():
            return None
        at += 1
    if len(taken) < wanted or data[at : at + 1].isalnum():
        return None
    number = "".join(str(int(chr(char), 36)) for char in taken[4:] + taken[:4])
    return (match.start(), at) if int(number) % 97 == 1 else None


# -- phone numbers ------------------------------------------------------------------

_FEWEST, _MOST = 7, 15


def _phone_span(data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return the number, unless it has too few or too many digits or goes on as something else."""
    count = sum(map(match[0].count, (b"%d" % digit for digit in range(10))))
    goes_on = data[match.end() : match.end() + 1]
    if not _FEWEST <= count <= _MOST or goes_on.isalnum() or goes_on == b"_":
        return None
    return match.span()


# A digit, letter or point before it makes it the rest of something else,
# unless that letter ends an escape.
_ALONE = rb"(?:(?<![A-Za-z0-9_.])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f][0-9A-Fa-f]))"
_GAP = rb"[ ().-]{0,2}"
# Part of every number: what tells one from another would cost the scanner
# more than the exact pattern costs where there are digits.
_NUMBER = rb"[0-9][0-9 ()./-]{5}"

PERSONAL: tuple[Rule, ...] = (
    Rule(
        name="email",
        scan=rb"(?:@|%40)[A-Za-z0-9\x80-\xff][A-Za-z0-9\x80-\xff.-]{0,70}\.[A-Za-z\x80-\xff]",
        exact=(
            rb"(?:@|%40)[A-Za-z0-9\x80-\xff](?:[A-Za-z0-9\x80-\xff-]|\.(?=[A-Za-z0-9\x80-\xff])){0,70}"
            rb"(?<=[A-Za-z0-9\x80-\xff-])\.[A-Za-z\x80-\xff][A-Za-z0-9\x80-\xff-]{1,62}+"
        ),
        locate=_email_span,
    ),
    Rule(
        name="card",
        scan=rb"[2-6][0-9 -]{12}",
        exact=_ALONE + rb"[2-6](?=(?:[ -]?[0-9]){12})",
        locate=_card_span,
    ),
    Rule(
        name="iban",
        scan=rb"[A-Z]{2}[0-9]{2}[ -]?[A-Z0-9]{4}",
        exact=_ALONE + rb"(?i:[A-Z]{2})[0-9]{2}(?=(?:[ -]?[A-Za-z0-9]){11})",
        caseless=True,
        locate=_iban_span,
    ),
    Rule(
        name="phone",
        scan=_NUMBER,
        exact=(
            _ALONE
            + rb"(?:\+(?=[ (]?[1-9])|(?<![0-9] )00(?=[ ]?[1-9])|(?i:tel:)\+?)"
            + _GAP
            + rb"[0-9](?:"
            + _GAP
            + rb"[0-9]){6,14}+"
        ),
        locate=_phone_span,
    ),
    Rule(
        name="phone",
        scan=_NUMBER,
        exact=_ALONE + rb"(?:\+?1[ .-]?)?\(?[2-9][0-9]{2}\)?[ .-]{1,2}[2-9][0-9]{2}[ .-][0-9]{4}",
        locate=_phone_span,
    ),
    Rule(
        name="phone",
        scan=_NUMBER,
        exact=_ALONE + rb"\(?0[1-9][0-9]{1,4}\)?[ /-]{1,2}[0-9](?:[ -]?[0-9]){5,11}+",
        locate=_phone_span,
    ),
)
"""The rules of ``pii/1``."""
