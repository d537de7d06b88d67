"""
What is demanded of values that are read from a memory's file.

SQLite keeps any type in any column, and a damaged or hostile file has what it
likes in its rows.  `Connection` completes the errors with the file's path.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from replaykit.errors import DamagedError

__all__ = [
    "MOST",
    "ascending",
    "blob",
    "columns",
    "damage",
    "text",
    "text_or_blob",
    "whole",
    "whole_or_none",
    "wholes",
]

MOST = 2**62
"""No count, id or generation of a memory reaches it, and what is added to one does not overflow."""


def damage(what: str) -> DamagedError:
    """Return the error for *what* is wrong in the file whose path the caller's connection knows."""
    return DamagedError("", 0, what)


def whole(value: object, what: str, *, least: int = 0, below: int = MOST) -> int:
    """Return *value*, a whole number from *least* to before *below*, else raise DamagedError."""
    if type(value) is not int or not least <= value < below:
        raise damage(f"{what} is no such number")
    return value


def whole_or_none(value: object, what: str, *, least: int = 0) -> int | None:
    """Return *value*, None or a whole number from *least* on, else raise DamagedError."""
    return None if value is None else whole(value, what, least=least)


def wholes(values: list[Any], what: str) -> list[int]:
    """Return *values*, all of which are whole numbers, else raise DamagedError."""
    if any(kind is not int for kind in set(map(type, values))):
        raise damage(f"{what} is no number")
    return values


def ascending(values: list[Any], what: str, *, after: int) -> list[int]:
    """Return *values*, whole numbers that ascend from above *after* so that going through them ends."""
    checked = wholes(values, what)
    if checked and (checked[0] <= after or any(low >= high for low, high in zip(checked, checked[1:], strict=False))):
        raise damage(f"{what} is out of order")
    return checked


def text(value: object, what: str) -> str:
    """Return *value*, a text, else raise DamagedError."""
    if type(value) is not str:
        raise damage(f"{what} is no text")
    return value


def blob(value: object, what: str, *, size: int | None = None) -> bytes:
    """Return *value*, bytes (so many, where *size* is given), else raise DamagedError."""
    if type(value) is not bytes or size not in (None, len(value)):
        raise damage(f"{what} is no such bytes")
    return value


def text_or_blob(value: object, what: str) -> str | bytes:
    """Return *value*, a text or bytes, else raise DamagedError."""
    if type(value) is str or type(value) is bytes:
        return value
    raise damage(f"{what} is neither a text nor bytes")


def columns(row: Any, count: int, what: str) -> Sequence[Any]:
    """Return *row*, the only one of a query, with *count* columns; else raise DamagedError."""
    # Where a query gives several rows, what comes is a list of them.
    if type(row) is not tuple or len(row) != count:
        raise damage(f"{what} is there not once")
    return row
