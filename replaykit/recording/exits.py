"""The end of a process: by the exit handlers of the interpreter, or by those of multiprocessing where no others run."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["at_exit", "at_exit_of_child", "not_at_exit"]

_LAST = -100
"""The priority that comes after all that a program has registered with multiprocessing."""


def at_exit(end: Callable[[], None]) -> None:
    """Call *end* when the interpreter exits, in this process and in those that fork from it; see `at_exit_of_child`."""
    # There multiprocessing's own handlers come last, and on most releases of
    # Python no others come at all.
    if not _is_forked_by_multiprocessing():
        atexit.register(end)


def not_at_exit(end: Callable[[], None]) -> None:
    """Do not call *end* when the interpreter exits."""
    atexit.unregister(end)


def at_exit_of_child(end: Callable[[], None]) -> bool:
    """
    Call *end* when this process ends, if multiprocessing has forked it; return whether it will be.

    It is called behind all threads that the process waits for.
    """
    if not _is_forked_by_multiprocessing():
        return False
    util: Any = sys.modules["multiprocessing.util"]
    util.Finalize(None, _end_behind_threads, args=(end,), exitpriority=_LAST)
    return True


def _is_forked_by_multiprocessing() -> bool:
    multiprocessing: Any = sys.modules.get("multiprocessing")
    # It may be half imported by another thread; then it has forked nothing.
    parent_process = getattr(multiprocessing, "parent_process", None)
    if parent_process is None or parent_process() is None:
        return False
    # A spawned child is an interpreter of its own, with handlers of its own.
    return bool(multiprocessing.get_start_method(allow_none=True) != "spawn")


def _end_behind_threads(end: Callable[[], None]) -> None:
    if _waited_for():
        _Ending(end).start()
    else:
        end()


def _waited_for() -> list[threading.Thread]:
    """Return the threads that the process waits for once its main thread is through, but those that wait themselves."""
    mine = (threading.main_thread(), threading.current_thread())
    return [
        thread
        for thread in threading.enumerate()
        if not (thread.daemon or thread in mine or isinstance(thread, _Ending))
    ]


class _Ending(threading.Thread):
    """Calls *end* once all other threads are through that the process waits for; it waits for this one too."""

    def __init__(self, end: Callable[[], None]) -> None:
        super().__init__(name="replaykit-ending", daemon=False)
        self._end = end

    def run(self) -> None:
        while threads := _waited_for():
            threads[0].join()
        self._end()
