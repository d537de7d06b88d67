"""Answers calls from a recording: the memory is absent and nothing is executed."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs
import cbor2

from replaykit.errors import NoMatchError, PlaybackError, UsageError
from replaykit.format.values import describe_error, pack, plain, unpack
from replaykit.intercept import scope
from replaykit.intercept.handler import Answer, Call
from replaykit.intercept.scope import CURRENT, Scope
from replaykit.model import ReplayAction, ReplaySession
from replaykit.playback.rebuilding import error_of, rebuilt
from replaykit.redactors import redactor_for
from replaykit.storage.catalogue import Catalogue, Which
from replaykit.storage.opening import open_store

__all__ = ["Player", "play"]

OnRepeat = Literal["error", "last", "cycle"]
Key = tuple[str, str, bytes]


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
    ) -> None:
        if on_repeat not in ("error", "last", "cycle"):
            raise UsageError(f"on_repeat={on_repeat!r}: give error, last or cycle")
        if not session.playable:
            raise PlaybackError(f"session {session.session_id} cannot be played: {'; '.join(session.playable.reasons)}")
        self.session = session
        self.play_count = 0
        self._match_on = frozenset(match_on)
        self._ignore = frozenset(ignore)
        self._on_repeat = on_repeat
        self._live = frozenset(live)
        self._redactor = redactor_for(session.redaction)
        self._lock = threading.RLock()
        self._waiting: dict[Key, deque[ReplayAction]] = {}
        self._answered: dict[Key, list[ReplayAction]] = {}
        self._cycle: dict[Key, int] = {}
        self._unused: dict[int, ReplayAction] = {}
        self._children: dict[int, list[int]] = {}
        self._scope: Scope | None = None
        self._index()

    # -- the recording ------------------------------------------------------------

    def _index(self) -> None:
        for action in self.session.actions:
            if action.kind == "checkpoint":
                continue
            self._unused[action.sequence] = action
            if action.parent is not None:
                self._children.setdefault(action.parent, []).append(action.sequence)
            else:
                self._waiting.setdefault(self._key_of(action), deque()).append(action)

    def _key_of(self, action: ReplayAction) -> Key:
        return self._key(action.kind, action.name, action.arguments, ())

    def _key(self, kind: str, name: str, arguments: Mapping[str, Any], ignore: Iterable[str]) -> Key:
        ignored = self._ignore.union(ignore)
        kept = {key: value for key, value in arguments.items() if key not in ignored}
        stored = plain(unpack(self._redactor.clean_packed(pack(kept))), notes=set())
        return (
            kind if "kind" in self._match_on else "",
            name if "name" in self._match_on else "",
            cbor2.dumps(stored, canonical=True) if "arguments" in self._match_on else b"",
        )

    # -- answering ------------------------------------------------------------------

    def begin(self, call: Call) -> _PlayedTicket | None:
        """
        Answer *call*; None for one that `live` lets run.

        Raises:
            NoMatchError: No recorded call is left that answers it.
        """
        row = call.operation
        if row.name in self._live or row.kind in self._live:
            return None
        key = self._key(row.kind, row.name, call.arguments, row.ignore)
        with self._lock:
            action = self._take(key)
            if action is None:
                raise self._no_match(call)
            self.play_count += 1
            self._use(action.sequence)
        return _PlayedTicket(_answer(action, call))

    def _take(self, key: Key) -> ReplayAction | None:
        waiting = self._waiting.get(key)
        if waiting:
            action = waiting.popleft()
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
        asked = _shown(row.name, call.arguments)
        same = [action for action in self._all() if action.name == row.name] or [
            action for action in self._all() if action.kind == row.kind
        ]
        ranked = sorted(same, key=lambda action: (-_agreement(action, call), action.sequence))[:3]
        used_up = any(action.sequence not in self._unused for action in ranked if _agreement(action, call) == 1.0)
        lines = [f"no recorded {row.kind} answers {asked} in session {self.session.session_id}"]
        if used_up:
            lines.append('  this call is recorded, and all its recordings are used up (on_repeat="last" repeats)')
        lines += [f"  nearest: action {action.sequence} {_difference(action, call)}" for action in ranked]
        if not ranked:
            lines.append(f"  the session has no call named {row.name!r} and none of kind {row.kind!r}")
        return NoMatchError("\n".join(lines), call=asked, nearest=[_shown(item.name, item.arguments) for item in ranked])

    def _all(self) -> Iterator[ReplayAction]:
        for waiting in self._waiting.values():
            yield from waiting
        for answered in self._answered.values():
            yield from answered

    # -- the block ------------------------------------------------------------------

    @property
    def unused(self) -> Sequence[ReplayAction]:
        """Recorded calls that were not asked for, by sequence."""
        return [self._unused[sequence] for sequence in sorted(self._unused)]

    @property
    def all_played(self) -> bool:
        """Whether every recorded call was asked for."""
        return not self._unused

    def __enter__(self) -> Player:
        self._scope = Scope(self, None, CURRENT.get())
        CURRENT.set(self._scope)
        scope.play_begins(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        scope.play_ends(self)
        if self._scope is not None:
            scope.leave(self._scope, self._scope.outer)

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
    if "stream" in action.flags:
        return Answer(error=error, items=value if isinstance(value, list) else [])
    return Answer(value=value, error=error)


# -- messages ---------------------------------------------------------------------


def _brief(value: Any) -> str:
    if isinstance(value, str):
        shown = repr(value)
    elif isinstance(value, (int, float, bool)) or value is None:
        shown = repr(value)
    else:
        shown = f"<{type(value).__name__}>"
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _shown(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={_brief(value)}' for key, value in arguments.items())})"


def _same(recorded: Any, asked: Any) -> bool:
    try:
        return bool(recorded == asked)
    except Exception as error:
        # Arrays and the like: their comparison is not a truth value.
        return describe_error(error)[0] == "" or pack(recorded) == pack(asked)


def _agreement(action: ReplayAction, call: Call) -> float:
    names = set(action.arguments) | set(call.arguments)
    if not names:
        return 1.0
    absent = object()
    equal = [
        name for name in names if _same(action.arguments.get(name, absent), call.arguments.get(name, absent))
    ]
    return len(equal) / len(names)


def _difference(action: ReplayAction, call: Call) -> str:
    shown = _shown(action.name, action.arguments)
    for name in {**dict(action.arguments), **dict(call.arguments)}:
        recorded, asked = action.arguments.get(name), call.arguments.get(name)
        if not _same(recorded, asked):
            return f"{shown}: {name} was {_brief(recorded)}, asked {_brief(asked)}"
    return shown


# -- opening ----------------------------------------------------------------------


def play(
    recording: Any,
    session: Which = "last",
    *,
    match_on: Iterable[str] = ("kind", "name", "arguments"),
    ignore: Iterable[str] = (),
    on_repeat: OnRepeat = "error",
    live: Iterable[str] = (),
) -> Player:
    """
    Return a block in which recorded functions and wrapped objects answer from a recording.

    *recording* is a path, anything with ``get_session`` (a memory, a
    `Recording`), or a session itself.  Calls match by kind, name and redacted
    arguments, first in first out; *ignore* names arguments that do not count;
    *on_repeat* says what a call does once its recordings are used up; *live*
    names functions (or kinds) that run for real.

    Raises:
        SessionNotFoundError: There is no such session.
        PlaybackError: The session cannot be played (its bodies were not kept).
        StorageError: The recording cannot be read.
    """
    found = recording if isinstance(recording, ReplaySession) else _session_of(recording, session)
    return Player(found, match_on=match_on, ignore=ignore, on_repeat=on_repeat, live=live)


def _session_of(recording: Any, which: Which) -> ReplaySession:
    if isinstance(recording, (str, os.PathLike)):
        store = open_store(recording, read_only=True)
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
