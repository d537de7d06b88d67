"""
Whose call is it?  One ContextVar holds the chain of open sessions.

A call belongs to the innermost session of its own recorder, else to the
innermost of any.  A context without a session is adopted by the process's
only open session if that one adopts.  The ambient session of a whole process
stands behind all others: it takes what they leave, and does not count as one.
A player, while there is one, takes every call of the process.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from replaykit.errors import PlaybackError
from replaykit.intercept.collecting import hold_contexts

__all__ = [
    "CURRENT",
    "PROCESS",
    "Scope",
    "ambient_session",
    "closed",
    "forget",
    "handler_for",
    "is_playing",
    "leave",
    "observer_for",
    "on_fork",
    "open_sessions",
    "opened",
    "play_begins",
    "play_ends",
]


class Scope:
    """
    One link of the chain: a session (or a block that is not recorded) and the call that is running in it.

    ``subject`` is the object whose call it is; set only where that object
    itself is recorded (see `instrumenting`).
    """

    __slots__ = ("outer", "parent", "session", "subject")

    subject: Any

    def __init__(self, session: Any, parent: int | None, outer: Scope | None) -> None:
        self.session = session
        self.parent = parent
        self.outer = outer


CURRENT: ContextVar[Scope | None] = ContextVar("replaykit_scope", default=None)
hold_contexts()


class _Process:
    """What is open in this process; one instance, below."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.open: dict[int, Any] = {}
        self.ambient: tuple[Any, ...] = ()
        self.adopter: Any = None
        self.eldest: Any = None
        self.players: tuple[Any, ...] = ()
        self.forked: dict[int, weakref.WeakMethod[Callable[[], None]]] = {}
        self.most_forked = _FEW_FORKED


_FEW_FORKED = 32
"""So many objects that a forked child asks are kept without a look at whether they live."""

PROCESS = _Process()


def opened(session: Any) -> None:
    """Note that *session* is open from now on."""
    with PROCESS.lock:
        if session.is_ambient:
            PROCESS.ambient = (*PROCESS.ambient, session)
        else:
            PROCESS.open[id(session)] = session
        _choose_adopter()
    surrounding = None if session.is_ambient else ambient_session()
    if surrounding is not None:
        surrounding.note_session(session)


def closed(session: Any) -> None:
    """Note that *session* is open no more."""
    with PROCESS.lock:
        PROCESS.open.pop(id(session), None)
        PROCESS.ambient = tuple(item for item in PROCESS.ambient if item is not session)
        _choose_adopter()


def _choose_adopter() -> None:
    PROCESS.eldest = next(iter(PROCESS.open.values()), None)
    only = PROCESS.eldest if len(PROCESS.open) == 1 else None
    adopter = only if only is not None and only.adopts else ambient_session()
    PROCESS.adopter = adopter if adopter is not None and adopter.adopts else None


def ambient_session() -> Any:
    """Return the open session that stands for the whole process, None without one."""
    return PROCESS.ambient[-1] if PROCESS.ambient else None


def open_sessions() -> tuple[Any, ...]:
    """Return the sessions that are open in this process: those that stand for all of it, then the others by age."""
    # A list of what is there is made in one step, whoever opens and closes meanwhile.
    return (*PROCESS.ambient, *list(PROCESS.open.values()))


def play_begins(player: Any) -> None:
    """Let *player* answer the calls of this process."""
    with PROCESS.lock:
        PROCESS.players = (*PROCESS.players, player)


def play_ends(player: Any) -> None:
    """Stop *player*."""
    with PROCESS.lock:
        PROCESS.players = tuple(item for item in PROCESS.players if item is not player)


def is_playing() -> bool:
    """Return whether a player answers the calls of this process."""
    return bool(PROCESS.players)


def leave(scope: Scope) -> None:
    """
    Take *scope* off this context's chain, as far as it is there.

    A context that knows nothing of it (a coroutine closed by the garbage
    collector runs anywhere) stays as it is, and so does a session that was
    started inside and goes on.
    """
    link = CURRENT.get()
    if link is scope:
        # What is below it now, not what was there when it came: that may
        # have been left meanwhile.
        CURRENT.set(scope.outer)
        return
    while link is not None:
        if link.outer is scope:
            link.outer = scope.outer
            return
        link = link.outer


def forget(session: Any) -> None:
    """Take *session* off this context's chain, wherever it stands there; calls of it that still run stay."""
    link = CURRENT.get()
    while link is not None:
        if link.session is session and link.parent is None:
            leave(link)
        link = link.outer


def handler_for(recorder: Any) -> Any:
    """
    Return what takes a call of *recorder* that begins now in this context, None to let it run unobserved.

    *recorder* is None for a function that is bound to no recorder.
    """
    if PROCESS.players:
        return _player_here()
    scope = CURRENT.get()
    if scope is None:
        adopter, eldest = PROCESS.adopter, PROCESS.eldest
        if adopter is None and eldest is not None:
            eldest.count_unscoped()
        return adopter
    if recorder is None or scope.session.recorder is recorder:
        return scope.session
    link: Scope | None = scope
    while link is not None:
        if link.session.recorder is recorder:
            return link.session
        link = link.outer
    return scope.session


def observer_for(recorder: Any) -> Any:
    """Return what a call of *recorder* made here would go to, None without one; counts nothing, never raises."""
    players = PROCESS.players
    if players:
        return _playing(CURRENT.get(), players)
    scope = CURRENT.get()
    if scope is None:
        return PROCESS.adopter
    if scope.session.recorder is recorder:
        return scope.session
    link: Scope | None = scope
    while link is not None:
        if link.session.recorder is recorder:
            return link.session
        link = link.outer
    return scope.session


def _playing(link: Scope | None, players: tuple[Any, ...]) -> Any:
    """
    Return the player of the context that *link* is the innermost scope of, else the only one, else None.

    A player that stands for the whole process (a test's) answers where no other does.
    """
    while link is not None:
        if link.session in players:
            return link.session
        link = link.outer
    if len(players) == 1:
        return players[0]
    own = [player for player in players if not player.is_ambient]
    if not own:
        return players[-1]
    return own[0] if len(own) == 1 else None


def _player_here() -> Any:
    """Return the player of this context, else the only one."""
    player = _playing(CURRENT.get(), PROCESS.players)
    if player is not None:
        return player
    raise PlaybackError(
        "several plays are open and this context is in none of them: enter one with play(...) in this thread or task"
    )


def on_fork(method: Callable[[], None]) -> None:
    """Have the bound *method* called in each forked child, as long as its object lives."""
    # Those whose objects are gone are looked for now and then: a callback of the
    # reference fails where both go in one collection.
    if len(PROCESS.forked) >= PROCESS.most_forked:
        for key, held in list(PROCESS.forked.items()):
            if held() is None:
                PROCESS.forked.pop(key, None)
        PROCESS.most_forked = 2 * len(PROCESS.forked) + _FEW_FORKED
    reference = weakref.WeakMethod(method)
    PROCESS.forked[id(reference)] = reference


def _after_fork_in_child() -> None:
    # A lock that another thread of the parent held stays locked for ever here.
    PROCESS.lock = threading.RLock()
    for session in open_sessions():
        session.abandon()
    PROCESS.open, PROCESS.ambient, PROCESS.eldest = {}, (), None
    # The adopter stays until the child opens a session: it counts the calls
    # that it would have taken.
    for reference in list(PROCESS.forked.values()):
        method = reference()
        if method is not None:
            method()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
