"""The recorders that the module-level functions share: one for a store and its options, and of idle ones only a few."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import attrs

from replaykit.intercept import scope
from replaykit.recording.engine import RecordingEngine

__all__ = ["SharedRecorders"]

_MOST = 16
"""So many recorders are kept for the next who asks for them, whether or not they are in use."""

_MOST_BUSY = 32
"""Where so many are not idle yet whoever asks for one waits for another's sessions to be published."""

_MOST_LOOKED_AT = 8
"""So many are looked at, each time that there is one too many, for one that is idle."""


R = TypeVar("R")


@attrs.frozen(eq=False)
class _Shared(Generic[R]):
    """A recorder with what it was asked for; options that may change are copies."""

    location: str
    options: Mapping[str, Any]
    recorder: R
    engine: RecordingEngine

    def is_for(self, options: Mapping[str, Any]) -> bool:
        """Return whether it has just these options."""
        return self.options.keys() == options.keys() and all(
            _same(mine, options[name]) for name, mine in self.options.items()
        )


class SharedRecorders(Generic[R]):
    """
    Recorders by store and options; *make* makes one, *engine_of* says what records in it.

    Those that were used least recently let go of their stores when there are
    more than a few, as soon as they are idle.  One that somebody still has a
    block of opens its store again when that is entered.
    """

    def __init__(
        self, make: Callable[[str, Mapping[str, Any]], R], *, engine_of: Callable[[R], RecordingEngine]
    ) -> None:
        self._make = make
        self._engine_of = engine_of
        self._renew()
        scope.on_fork(self._renew)

    def _renew(self) -> None:
        # A forked child makes recorders of its own, and the lock may be held by a thread that it does not have.
        self._lock = threading.RLock()
        self._by_use: OrderedDict[int, _Shared[R]] = OrderedDict()
        self._by_store: dict[str, list[_Shared[R]]] = {}

    def __len__(self) -> int:
        return len(self._by_use)

    def recorder(self, location: str, options: Mapping[str, Any]) -> R:
        """
        Return the recorder for the store at *location*, an absolute path, with these *options*.

        Raises:
            UsageError: An option is unknown or wrong.
        """
        with self._lock:
            shared = self._found(location, options)
            if shared is None:
                shared = self._made(location, options)
            self._note_used(shared)
        return shared.recorder

    def _made(self, location: str, options: Mapping[str, Any]) -> _Shared[R]:
        recorder = self._make(location, options)
        kept = {name: _kept(value) for name, value in options.items()}
        shared = _Shared(location, kept, recorder, self._engine_of(recorder))
        # A block that somebody has kept opens a store that was given back.
        shared.engine.lease.on_opening = lambda: self._note_used(shared)
        return shared

    def _found(self, location: str, options: Mapping[str, Any]) -> _Shared[R] | None:
        for shared in self._by_store.get(location, ()):
            if not shared.engine.lease.is_closed and shared.is_for(options):
                return shared
        return None

    def _note_used(self, shared: _Shared[R]) -> None:
        with self._lock:
            if id(shared) not in self._by_use:
                self._by_store.setdefault(shared.location, []).append(shared)
            self._by_use[id(shared)] = shared
            self._by_use.move_to_end(id(shared))
            self._let_go_of_idle()

    def _let_go_of_idle(self) -> None:
        for _ in range(min(_MOST_LOOKED_AT, len(self._by_use) - _MOST)):
            _, shared = self._by_use.popitem(last=False)
            if shared.engine.rest(waits=len(self._by_use) >= _MOST_BUSY):
                self._forget(shared)
            else:
                # It is in use: others are more likely to be idle.
                self._by_use[id(shared)] = shared

    def _forget(self, shared: _Shared[R]) -> None:
        others = [each for each in self._by_store[shared.location] if each is not shared]
        if others:
            self._by_store[shared.location] = others
        else:
            del self._by_store[shared.location]


def _same(mine: Any, other: Any) -> bool:
    if mine is other:
        return True
    try:
        return type(mine) is type(other) and bool(mine == other)
    except Exception:
        # An object of the user's that cannot be compared is only itself.
        return False


def _kept(value: Any) -> Any:
    """Return *value* as it is now, if it is a collection that may change."""
    return copy.copy(value) if isinstance(value, (dict, list, set)) else value
