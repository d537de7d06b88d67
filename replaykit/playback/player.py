"""Answers calls from a recording: the memory is absent and nothing is executed."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import attrs
import cbor2

from replaykit.errors import NoMatchError, PlaybackError, UsageError
from replaykit.format.thaw import thaw
from replaykit.format.values import pack, plain, unpack
from replaykit.importers.memvid.store import MemvidStore, is_memvid
from replaykit.intercept import scope
from replaykit.intercept.coverage import Method, Uncovered
from replaykit.intercept.handler import Answer, Call
from replaykit.intercept.scope import CURRENT, Scope
from replaykit.model import ReplayAction, ReplaySession
from replaykit.operations import thawed
from replaykit.playback.misses import Miss
from replaykit.playback.rebuilding import error_of, rebuilt
from replaykit.redactors import Custom, redactor_for
from replaykit.storage.catalogue import Catalogue, Which
from replaykit.storage.opening import open_store

__all__ = ["Player", "play"]

OnRepeat = Literal["error", "last", "cycle"]
Names = frozenset[str]
Key = tuple[str, str, bytes, Names]

_MATCHABLE = frozenset({"kind", "name", "arguments"})


def _names(given: Iterable[str]) -> Names:
    return frozenset((given,)) if isinstance(given, str) else frozenset(given)


@attrs.frozen
class _PlayedTicket:
    """A call that was answered."""

    answer: Answer
    scope: Any = None

    def finish(self, result: Any) -> None:
        """Nothing ran, nothing is kept."""

    def fail(self, error: BaseException) -> None:
        """Nothing ran, nothing is kept."""

    def item(self, value: Any) -> None:
        """Nothing ran, nothing is kept."""

    def end(self, *, abandoned: bool = False) -> None:
        """Nothing ran, nothing is kept."""

    def mark_async(self) -> None:
        """Nothing ran, nothing is kept."""


class Player:
    """
    Plays one session: use it as ``with replaykit.play(...) as player:``.

    While it is open every recorded function and wrapped object of the process
    answers from the recording.

    Attributes:
        play_count: How many calls were answered.
    """

    recorder = None
    is_open = False
    adopts = False

    def __init__(
        self,
        session: ReplaySession,
        *,
        match_on: Iterable[str] = ("kind", "name", "arguments"),
        ignore: Iterable[str] = (),
        on_repeat: OnRepeat = "error",
        live: Iterable[str] = (),
        redact: Iterable[Custom] = (),
    ) -> None:
        if on_repeat not in ("error", "last", "cycle"):
            raise UsageError(f"on_repeat={on_repeat!r}: give error, last or cycle")
        if not session.playable:
            raise PlaybackError(f"session {session.session_id} cannot be played: {'; '.join(session.playable.reasons)}")
        self.session = session
        self.play_count = 0
        self._match_on = _names(match_on)
        if not self._match_on <= _MATCHABLE:
            raise UsageError(f"match_on={sorted(self._match_on)}: give some of {', '.join(sorted(_MATCHABLE))}")
        self._ignore = _names(ignore)
        self._on_repeat = on_repeat
        self._live = _names(live)
        self._redactor = redactor_for(session.redaction, redact)
        self._lock = threading.RLock()
        self._answers: list[ReplayAction] = []
        self._waiting: dict[Names, dict[Key, deque[ReplayAction]]] = {}
        self._taken: set[int] = set()
        self._answered: dict[Key, list[ReplayAction]] = {}
        self._cycle: dict[Key, int] = {}
        self._unused: dict[int, ReplayAction] = {}
        self._children: dict[int, list[int]] = {}
        self._scope: Scope | None = None
        self._uncovered = Uncovered()
        self._index()

    # -- the recording ------------------------------------------------------------

    def _index(self) -> None:
        run: set[int | None] = {None}
        for action in self.session.actions:
            if action.kind == "checkpoint":
                continue
            if action.parent in run and self._is_live(action.kind, action.name):
                # It will run and make its calls again: those are answered.
                run.add(action.sequence)
                continue
            self._unused[action.sequence] = action
            if action.parent in run:
                self._answers.append(action)
            else:
                self._children.setdefault(cast(int, action.parent), []).append(action.sequence)

    def _is_live(self, kind: str, name: str) -> bool:
        return name in self._live or kind in self._live

    def _stored(self, arguments: Mapping[str, Any]) -> Any:
        """Return arguments as they are stored: redacted, as plain values."""
        return plain(unpack(self._redactor.clean_packed(pack(arguments))), notes=set())

    def _key(self, kind: str, name: str, arguments: Mapping[str, Any], ignored: Names) -> Key:
        kept = {key: value for key, value in arguments.items() if key not in ignored}
        return (
            kind if "kind" in self._match_on else "",
            name if "name" in self._match_on else "",
            cbor2.dumps(self._stored(kept), canonical=True) if "arguments" in self._match_on else b"",
            ignored,
        )

    def _waiting_for(self, key: Key) -> deque[ReplayAction]:
        """Return the recordings that answer *key*, those that were taken under other keys among them."""
        ignored = key[-1]
        index = self._waiting.get(ignored)
        if index is None:
            # Which arguments do not count is the called function's to say:
            # it is known when the first call comes.
            index = self._waiting[ignored] = {}
            for action in self._answers:
                found = self._key(action.kind, action.name, action.arguments, ignored)
                index.setdefault(found, deque()).append(action)
        return index.setdefault(key, deque())

    # -- answering ------------------------------------------------------------------

    def begin(self, call: Call) -> _PlayedTicket | None:
        """
        Answer *call*; None for one that `live` lets run.

        Raises:
            NoMatchError: No recorded call is left that answers it.
        """
        row = call.operation
        if self._is_live(row.kind, row.name):
            return None
        key = self._key(row.kind, row.name, call.arguments, self._ignore.union(row.ignore))
        with self._lock:
            action = self._take(key)
            if action is None:
                raise self._no_match(call)
            self.play_count += 1
            self._use(action.sequence)
        return _PlayedTicket(_answer(action, call))

    def _take(self, key: Key) -> ReplayAction | None:
        waiting = self._waiting_for(key)
        while waiting:
            action = waiting.popleft()
            if action.sequence not in self._taken:
                self._taken.add(action.sequence)
                self._answered.setdefault(key, []).append(action)
                return action
        answered = self._answered.get(key)
        if not answered or self._on_repeat == "error":
            return None
        if self._on_repeat == "last":
            return answered[-1]
        turn = self._cycle.get(key, 0)
        self._cycle[key] = turn + 1
        return answered[turn % len(answered)]

    def _use(self, sequence: int) -> None:
        """Count an answered call as used, and with it the calls that it had made."""
        waiting = [sequence]
        while waiting:
            current = waiting.pop()
            self._unused.pop(current, None)
            waiting.extend(self._children.get(current, ()))

    def _no_match(self, call: Call) -> NoMatchError:
        row = call.operation
        miss = Miss(row.kind, row.name, thaw(self._stored(call.arguments)), self._ignore.union(row.ignore))
        return miss.error(self.session.session_id, self._answers, self._unused.keys())

    # -- the block ------------------------------------------------------------------

    @property
    def unused(self) -> Sequence[ReplayAction]:
        """Recorded calls that were not asked for, by sequence."""
        return [self._unused[sequence] for sequence in sorted(self._unused)]

    @property
    def all_played(self) -> bool:
        """Whether every recorded call was asked for."""
        return not self._unused

    @property
    def uncovered(self) -> Mapping[str, int]:
        """
        Methods of wrapped objects that ran for real, ``"Class.method"`` with the number of calls.

        No map, and no adapter, says what they are, so none of their calls was
        recorded.
        """
        return self._uncovered.counts()

    def note_uncovered(self, method: Method) -> None:
        """Count a call of a method that the map of a wrapped object says nothing about."""
        self._uncovered.note(method)

    def __enter__(self) -> Player:
        if self._scope is not None:
            raise UsageError("this play has been entered before: make another one with play(...)")
        self._scope = Scope(self, None, CURRENT.get())
        CURRENT.set(self._scope)
        scope.play_begins(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        scope.play_ends(self)
        if self._scope is not None:
            scope.leave(self._scope)

    async def __aenter__(self) -> Player:
        return self.__enter__()

    async def __aexit__(self, *exc_info: object) -> None:
        self.__exit__()

    def count_unscoped(self) -> None:
        """A player takes every call: there is nothing to count."""

    def __repr__(self) -> str:
        return f"<Player {self.session.session_id}, {self.play_count} played, {len(self._unused)} unused>"


def _answer(action: ReplayAction, call: Call) -> Answer:
    error = None if action.error is None else error_of(action.error)
    if "unfinished" in action.flags and error is None:
        error = PlaybackError(f"action {action.sequence} was recorded as unfinished: it has no result")
    value = rebuilt(action.output, call.returns)
    is_async = "async" in action.flags
    if "stream" in action.flags and isinstance(value, list):
        value = [thawed(call.operation, item) for item in value]
    elif error is None:
        value = thawed(call.operation, value)
    if "stream" in action.flags:
        return Answer(error=error, items=value if isinstance(value, list) else [], is_async=is_async)
    return Answer(value=value, error=error, is_async=is_async)


# -- opening ----------------------------------------------------------------------


def play(
    recording: Any,
    session: Which = "last",
    *,
    match_on: Iterable[str] = ("kind", "name", "arguments"),
    ignore: Iterable[str] = (),
    on_repeat: OnRepeat = "error",
    live: Iterable[str] = (),
    redact: Iterable[Custom] = (),
) -> Player:
    """
    Return a block in which recorded functions and wrapped objects answer from a recording.

    *recording* is a path, anything with ``get_session`` (a memory, a
    `Recording`), or a session itself.  Calls match by kind, name and redacted
    arguments, first in first out; *ignore* names arguments that do not count;
    *on_repeat* says what a call does once its recordings are used up; *live*
    names functions (or kinds) that run for real; *redact* are the callables
    that the session was recorded with, which a recording names and does not hold.

    Raises:
        SessionNotFoundError: There is no such session.
        PlaybackError: The session cannot be played (its bodies were not kept).
        StorageError: The recording cannot be read.
    """
    found = recording if isinstance(recording, ReplaySession) else _session_of(recording, session)
    return Player(found, match_on=match_on, ignore=ignore, on_repeat=on_repeat, live=live, redact=redact)


def _session_of(recording: Any, which: Which) -> ReplaySession:
    if isinstance(recording, (str, os.PathLike)):
        path = os.fspath(recording)
        store = MemvidStore(path) if is_memvid(path) else open_store(path, read_only=True)
        try:
            found = Catalogue(store).get_session(which)
            # Read before the store is closed: a play needs all of it anyway.
            return attrs.evolve(found, actions=tuple(found.actions))
        finally:
            store.close()
    if hasattr(recording, "get_session"):
        session: ReplaySession = recording.get_session(which)
        return session
    raise UsageError(f"play() takes a path, a recording or a session, not {type(recording).__name__}")
