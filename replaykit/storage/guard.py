"""What a forked child finds of a store: a free lock, and no descriptor that keeps its parent's locks and room."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import AbstractContextManager, suppress
from typing import Protocol

__all__ = ["Guard", "abandon_in_child"]


class Guard:
    """
    Has a re-entrant lock and knows in which process it was made.

    A child starts with a fresh one: another thread's hold on it at the
    moment of the fork means nothing there.
    """

    def __init__(self) -> None:
        self.pid = self._lock_pid = os.getpid()
        self._lock = threading.RLock()

    def adopt(self) -> None:
        """Belong to this process from now on; its holder calls this in a child."""
        self.pid = os.getpid()

    @property
    def forked(self) -> bool:
        """Whether this process is a child of the one that the guard belongs to."""
        return os.getpid() != self.pid

    # Handed out rather than wrapped: an interrupt may come at the first step
    # of an ``__exit__`` in Python, and the lock would stay held.
    @property
    def lock(self) -> AbstractContextManager[object]:
        """The lock, to be taken at once: ``with guard.lock:``."""
        if os.getpid() != self._lock_pid:
            # Only the forking thread lives on in a child: nobody races here.
            self._lock_pid = os.getpid()
            self._lock = threading.RLock()
        return self._lock


class _Holder(Protocol):
    def abandon(self) -> None: ...


_holders: weakref.WeakSet[_Holder] = weakref.WeakSet()


def abandon_in_child(holder: _Holder) -> None:
    """
    Have ``holder.abandon()`` called in each forked child, as long as *holder* lives.

    It closes the child's copy of a descriptor and does nothing else: a lock
    belongs to what the parent has opened, so unlocking would take the
    parent's, while one copy left open keeps it locked when the parent is gone.
    """
    _holders.add(holder)


def _abandon_all() -> None:
    for holder in list(_holders):
        # One that is gone already keeps nobody from the others.
        with suppress(OSError):
            holder.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
