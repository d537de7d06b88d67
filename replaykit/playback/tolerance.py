"""How far numbers beside hits may be off: as far as scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from replaykit.model import Structured

__all__ = ["within_tolerance"]


def within_tolerance(recorded: Any, seen: Any, tolerance: float) -> Any:
    """Return *seen* with those numbers as *recorded* that are off by *tolerance* at most; two whole ones have none."""
    if not tolerance:
        return seen
    if isinstance(recorded, Structured) and isinstance(seen, Structured):
        return attrs.evolve(seen, fields=within_tolerance(recorded.fields, seen.fields, tolerance))
    if isinstance(recorded, Mapping) and isinstance(seen, Mapping):
        return {
            name: within_tolerance(recorded[name], item, tolerance) if name in recorded else item
            for name, item in seen.items()
        }
    if isinstance(recorded, (list, tuple)) and type(recorded) is type(seen) and len(recorded) == len(seen):
        return type(seen)(within_tolerance(was, now, tolerance) for was, now in zip(recorded, seen, strict=True))
    return recorded if _are_near(recorded, seen, tolerance) else seen


def _are_near(first: Any, second: Any, tolerance: float) -> bool:
    are_numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (first, second))
    if not are_numbers or not (isinstance(first, float) or isinstance(second, float)):
        return False
    try:
        difference: float = abs(first - second)
    except OverflowError:
        # A whole number that no float reaches.
        return False
    return difference <= tolerance
