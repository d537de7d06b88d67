"""Recorded text on its way to people: nothing in it may steer a terminal or hide."""

from __future__ import annotations

import unicodedata

__all__ = ["printable"]

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Control, format (bidi, zero width), surrogate, private and unassigned characters, line and paragraph separators."""


def printable(text: str, *, keep_lines: bool = True) -> str:
    """Return *text* with hidden characters as escapes; line feeds and tabs stay with *keep_lines*."""
    if text.isprintable():
        return text
    kept = "\n\t" if keep_lines else ""
    return "".join(
        char if char in kept or unicodedata.category(char) not in _HIDDEN else _escaped(char) for char in text
    )


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
