"""Calls that no map knows: counted by class and method, so that a recording says what it does not have."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

__all__ = ["Method", "Uncovered"]

Method = tuple[str, str]
"""The name of a class and that of its method."""

_MOST_NAMES = 200
_MOST_CHARS = 200
_REST = ("", "(others)")


class Uncovered:
    """Counts of calls to methods that the map of a wrapped object says nothing about; from any thread."""

    def __init__(self) -> None:
        # Re-entrant: a signal handler may call such a method, too.
        self._lock = threading.RLock()
        # Counters that Python itself steps: each unmapped call makes a step,
        # and a lock would cost more than that.
        self._counters: dict[Method, Callable[[], int]] = {}
        self._looks = 0

    def note(self, method: Method) -> None:
        """Count one call."""
        counter = self._counters.get(method)
        if counter is None:
            counter = self._counter_of(method)
        counter()

    def _counter_of(self, method: Method) -> Callable[[], int]:
        with self._lock:
            if len(self._counters) >= _MOST_NAMES:
                method = _REST
            if method not in self._counters:
                # The looks so far are steps that it did not make.
                self._counters[method] = itertools.count(self._looks).__next__
            return self._counters[method]

    def counts(self) -> dict[str, int]:
        """Return ``{"Class.method": calls}``, in order of the first call."""
        with self._lock:
            # Looking at a counter steps it.
            steps = {method: counter() - self._looks for method, counter in self._counters.items()}
            self._looks += 1
        return {f"{owner}.{name}".lstrip(".")[:_MOST_CHARS]: count for (owner, name), count in steps.items()}
