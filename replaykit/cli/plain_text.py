"""Recorded text and numbers as words of a sentence, and on one line."""

from __future__ import annotations

from replaykit.format.escaping import printable

__all__ = ["counted", "one_line", "printable"]


def one_line(text: str, width: int = 72) -> str:
    """Return *text* on one line of at most *width* characters, white space folded."""
    folded = " ".join(text[: 4 * width].split())
    shown = printable(folded, keep_lines=False)
    return shown if len(shown) <= width else shown[: width - 1] + "…"


def counted(count: int, what: str) -> str:
    """Return a number with its noun: 1 session, 2 sessions."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
