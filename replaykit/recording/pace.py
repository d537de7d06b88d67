"""How fast a background works: it lets the agent have the interpreter, and the agent waits where it falls behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager

from replaykit.storage.log_files import are_handles_scarce

__all__ = ["Pace"]

_SLICE_SECONDS = 0.00015
_REST = 3
_LOOK_SECONDS = 0.00002
"""So long it lets go of the GIL after each slice, to see whether others want it; the timer makes about 0.1 ms of it."""
_SOON_SECONDS = 0.0003
"""Who gets the GIL back later than this has waited for somebody who computes."""
_SHORTEST_REST_SECONDS = 0.0001
_LONGEST_REST_SECONDS = 0.01

_MOST_WAITING = 1000
"""So many ended sessions wait, or fewer that hold many files open, before whoever ends one more waits too."""

_FEW_WAITING = 10
"""As long as no more wait, it is open sessions that hold the files."""

_LONGEST_WAIT_SECONDS = 1.0
_PATIENCE_SECONDS = 0.05
"""Whoever waits goes on once none was published for this long: the disk may hang."""

_NAP_SECONDS = 0.001


class Pace:
    """
    The rests of one background thread, and the waits of those who give it work.

    *waiting* holds the ended sessions that are to be published.  What
    *calls_begun* returns changes with each call that is recorded.
    """

    def __init__(self, waiting: Sized, calls_begun: Callable[[], int]) -> None:
        self._waiting = waiting
        self._calls_begun = calls_begun
        self._hurried_by: set[object] = set()
        self._slice_began = 0.0
        self._published = 0

    def begin(self) -> None:
        """The thread begins to work."""
        self._slice_began = time.thread_time()

    def note_published(self) -> None:
        """One more of those that waited is published."""
        self._published += 1

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Take no rest meanwhile: somebody waits for what the thread does."""
        token = object()
        self._hurried_by.add(token)
        try:
            yield
        finally:
            self._hurried_by.discard(token)

    @property
    def is_hurried(self) -> bool:
        """Whether somebody waits."""
        return bool(self._hurried_by)

    def rest(self) -> None:
        """
        Let go of the GIL for a while, unless somebody waits; for the thread itself.

        An agent whose call lets go of the GIL gets it back only once this
        thread rests, so beside one that is at work it works for a moment and
        rests for three; for less the more sessions wait.  Beside one that is
        not it goes on at once: what is done then disturbs no later call.
        """
        if self._hurried_by:
            return
        # Of its own, not of waits for a lock or the disk.
        worked = time.thread_time() - self._slice_began
        if worked >= _SLICE_SECONDS:
            if self._is_agent_at_work():
                rest = _REST * worked / (1 + len(self._waiting))
                time.sleep(min(max(_SHORTEST_REST_SECONDS, rest), _LONGEST_REST_SECONDS))
            self._slice_began = time.thread_time()

    def _is_agent_at_work(self) -> bool:
        """Let go of the GIL for a moment; return whether somebody took it for longer, or recorded in it."""
        seen, before = self._calls_begun(), time.perf_counter()
        time.sleep(_LOOK_SECONDS)
        return time.perf_counter() - before >= _SOON_SECONDS or self._calls_begun() != seen

    def naps(self, is_working: Callable[[], bool]) -> Iterator[float]:
        """
        Yield seconds to sleep while too many sessions wait, as long as the thread *is_working* and publishes some.

        Who has ended one sleeps them: each that waits has its memory and its file.
        """
        if not self._is_full():
            return
        done, now = self._published, time.monotonic()
        until, patience = now + _LONGEST_WAIT_SECONDS, now + _PATIENCE_SECONDS
        with self.hurried():
            while self._is_full() and now < min(until, patience) and is_working():
                yield _NAP_SECONDS
                now = time.monotonic()
                if self._published != done:
                    done, patience = self._published, now + _PATIENCE_SECONDS

    def _is_full(self) -> bool:
        waiting = len(self._waiting)
        return waiting > _MOST_WAITING or (waiting > _FEW_WAITING and are_handles_scarce())
