"""Calls that no map knows: counted by class and method, so that a recording says what it does not have."""

from __future__ import annotations

import threading

__all__ = ["Uncovered"]

_MOST_NAMES = 200
_MOST_CHARS = 200
_REST = "(others)"


class Uncovered:
    """Counts of calls to methods that the map of a wrapped object says nothing about; from any thread."""

    def __init__(self) -> None:
        # Re-entrant: a signal handler may call such a method, too.
        self._lock = threading.RLock()
        self._counts: dict[tuple[str, str], int] = {}

    def note(self, owner: str, name: str) -> None:
        """Count one call of *name* on an object of the class *owner*."""
        key = (owner, name)
        with self._lock:
            if key not in self._counts and len(self._counts) >= _MOST_NAMES:
                key = ("", _REST)
            self._counts[key] = self._counts.get(key, 0) + 1

    def counts(self) -> dict[str, int]:
        """Return ``{"Class.method": calls}``, in order of the first call."""
        with self._lock:
            found = list(self._counts.items())
        return {f"{owner}.{name}".lstrip(".")[:_MOST_CHARS]: count for (owner, name), count in found}
