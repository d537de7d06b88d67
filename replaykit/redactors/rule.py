"""What a rule is: a name, a pattern that finds candidates, a pattern that decides, and what to hide."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import attrs

__all__ = ["LEFT", "Locate", "Rule", "Span", "token", "whole"]

Span = tuple[int, int]
Locate = Callable[[bytes, "re.Match[bytes]"], Span | None]


def whole(_data: bytes, match: re.Match[bytes]) -> Span | None:
    """Return all that matched."""
    return match.span()


# Equal to itself alone: the tables of rules are looked up whenever a session
# opens, and hashing all patterns took a tenth of that.
@attrs.frozen(kw_only=True, eq=False)
class Rule:
    """
    One shape of secret.

    Attributes:
        name: Stands in the placeholder.
        scan: Finds candidates, for Hyperscan.
        exact: Decides, from the first byte of the shape.
        caseless: Whether *scan* ignores ASCII case; *exact* says so itself.
        reach: How many bytes around a candidate's end *exact* needs to begin to match.
        begins: What each match of *exact* begins with, in lower case: found many times faster than *exact* is, which
            ignores case. Empty where *exact* begins with fixed bytes.
        locate: Returns what to hide of a match, or None for a false alarm.
    """

    name: str
    scan: bytes
    exact: bytes
    caseless: bool = False
    reach: int = 96
    begins: bytes = b""
    locate: Locate = whole

    @functools.cached_property
    def decider(self) -> re.Pattern[bytes]:
        """The pattern *exact*: compiled with the first candidate, since to compile all took a tenth of a start."""
        return re.compile(self.exact)

    @functools.cached_property
    def beginner(self) -> re.Pattern[bytes] | None:
        """The pattern *begins*, likewise; None without one."""
        return re.compile(self.begins) if self.begins else None


# A letter before the shape makes it part of a word, unless that letter ends
# an escape: \n in JSON inside a text, %3D in a URL.
LEFT = rb"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f][0-9A-Fa-f]))"
"""Stands before a shape that must not be the end of a word."""


def token(name: str, pattern: bytes, tail: bytes, least: int, *, boundary: bool = False) -> Rule:
    """Return a rule for a fixed beginning and at least *least* bytes of the class *tail*."""
    return Rule(
        name=name,
        scan=pattern + tail + b"{%d}" % least,
        exact=(LEFT if boundary else b"") + pattern + tail + b"{%d,}+" % least,
    )
