"""How work on a long log is cut into slices, so that an agent in the same process is not held up by it."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["LARGE_SLICE", "SMALL_SLICE", "Pause", "no_pause"]

SMALL_SLICE = 8
LARGE_SLICE = 32
"""So many actions are done between two pauses; in a large slice each of them takes a sixth less time."""

Pause = Callable[[], int]
"""Called between two slices: rests if it may, and returns how many actions the next slice may have."""


def no_pause() -> int:
    """Go on at once: nobody else wants the interpreter, or somebody waits for the result."""
    return LARGE_SLICE
