"""Answers calls from a recording: the memory is absent and nothing is executed."""

from __future__ import annotations

import os
import threading
import weakref
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import attrs

from replaykit.errors import DamagedError, PlaybackError, UsageError
from replaykit.facts import SELF
from replaykit.format.actions import failure_of
from replaykit.format.asked import Asked
from replaykit.format.entries import Entry
from replaykit.format.matching import match_key, stored_form, without
from replaykit.importers.memvid.store import MemvidStore, is_memvid
from replaykit.intercept import scope
from replaykit.intercept.absent import AbsentCall
from replaykit.intercept.coverage import Method, Uncovered
from replaykit.intercept.handler import Answer, Called, Ticket
from replaykit.intercept.scope import CURRENT, Scope
from replaykit.model import ReplayAction, ReplaySession
from replaykit.operations import Operation, thawed, thawed_error
from replaykit.playback.calls import RecordedCalls
from replaykit.playback.misses import FEW, Miss
from replaykit.playback.rebuilding import declared_errors, error_of, played_back, rebuilt_items
from replaykit.playback.turns import Names, OnRepeat, Turns
from replaykit.playback.unnamed import UnsignedCalls
from replaykit.protocols import Store
from replaykit.recording.handle import SessionHandle
from replaykit.recording.session import ActiveSession, Unrecorded
from replaykit.redactors import Custom, redactor_for
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.finding import Which
from replaykit.storage.opening import open_store

__all__ = ["Player", "play"]

_MOST_COMPARED = 1_000_000
"""How many recorded calls the misses of a play are compared with before each is compared with few."""

ErrorsByName = Mapping[str, type[BaseException]]

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


@attrs.frozen
class _Row:
    """What a play has to know of a function that is called; found out once."""

    operation: Operation
    kind: str
    name: str
    is_live: bool
    ignored: Names
    errors: ErrorsByName


class Player:
    """
    Plays one session: use it as ``with replaykit.play(...) as player:``.

    While it is open every recorded function and wrapped object of the process
    answers from the recording.

    Attributes:
        play_count: How many calls were answered.
        missing_count: How many calls no recording answered and `record_missing` let run.
    """

    recorder = None
    run = None
    is_open = False
    adopts = False
    is_ambient = False

    def __init__(
        self,
        session: ReplaySession,
        *,
        match_on: Iterable[str] = ("kind", "name", "arguments"),
        ignore: Iterable[str] = (),
        on_repeat: OnRepeat = "error",
        live: Iterable[str] = (),
        exceptions: Iterable[type[BaseException]] | ErrorsByName = (),
        record_missing: SessionHandle | ActiveSession | None = None,
        redact: Iterable[Custom] = (),
    ) -> None:
        if on_repeat not in ("error", "last", "cycle"):
            raise UsageError(f"on_repeat={on_repeat!r}: give error, last or cycle")
        if not session.playable:
            raise PlaybackError(f"session {session.session_id} cannot be played: {'; '.join(session.playable.reasons)}")
        self.session = session
        self.play_count = 0
        self.missing_count = 0
        self._match_on = _names(match_on)
        if not self._match_on <= _MATCHABLE:
            raise UsageError(f"match_on={sorted(self._match_on)}: give some of {', '.join(sorted(_MATCHABLE))}")
        self._ignore = _names(ignore)
        self._live = _names(live)
        self._errors = exceptions if isinstance(exceptions, Mapping) else declared_errors(exceptions)
        self._missing = _filled(record_missing, session)
        own = tuple(redact)
        self._redactor = redactor_for(session.redaction, own)
        self._has_own_redactors = bool(own)
        self._lock = threading.RLock()
        self._rows: dict[int, _Row] = {}
        self._latest = 0
        self._compared = 0
        self._scope: Scope | None = None
        self._was_entered = False
        self._uncovered = Uncovered()
        # None of them refers to this object: a test run makes thousands, and
        # what goes in a circle waits for the garbage collector.
        self._key = partial(_key, self._match_on)
        self._calls = RecordedCalls(session.actions, partial(_is_among, self._live) if self._live else None)
        self._turns = Turns(on_repeat)
        self._turns.add(self._ignore, self._keyed(self._calls.read(), self._ignore))
        self._unsigned = UnsignedCalls(self._calls, self._turns, self._key)

    # -- matching -----------------------------------------------------------------

    def _row(self, operation: Operation) -> _Row:
        row = self._rows.get(id(operation))
        if row is None:
            said = operation.definition()
            # The operation is kept beside its id, which may be another's once its object is gone.
            row = self._rows[id(operation)] = _Row(
                operation=operation,
                kind=said["kind"],
                name=self._redactor.clean_name(said["name"]),
                is_live=_is_among(self._live, operation.kind, operation.name),
                ignored=self._ignore.union(operation.ignore),
                errors=ChainMap(declared_errors(operation.raises), cast(Any, self._errors)),
            )
        return row

    def _keyed(self, calls: Iterable[tuple[int, Asked]], ignored: Names) -> Iterator[tuple[bytes, int]]:
        key = match_key if self._match_on == _MATCHABLE and not ignored else partial(self._key, ignored=ignored)
        for position, (_, kind, name, _, arguments) in calls:
            yield key(kind, name, arguments), position

    # -- answering ------------------------------------------------------------------

    def begin(self, called: Called, arguments: Mapping[str, Any]) -> Ticket | None:
        """
        Answer a call; None for one that `live` lets run.

        Raises:
            NoMatchError: No recorded call is left that answers it.
        """
        row = self._rows.get(id(called.operation)) or self._row(called.operation)
        if row.is_live:
            return None
        stored = stored_form(arguments, self._redactor.clean_packed)
        position = self._taken(row, stored, called)
        if position is None:
            return self._missed(row, stored, called, arguments)
        return _PlayedTicket(self._answer(position, row, called.returns))

    def knows(self, called: Called, arguments: Mapping[str, Any]) -> bool:
        """Return whether `begin` has something of just this name for a call, or lets it run; nothing is used."""
        row = self._rows.get(id(called.operation)) or self._row(called.operation)
        if row.is_live or not self._calls.has(row.name):
            return row.is_live
        stored = stored_form(arguments, self._redactor.clean_packed)
        with self._lock:
            found = (self._turns.peek(ignored, key) for ignored, key in self._looked_up(row, stored))
            position = next((each for each in found if each is not None), None)
        return position is not None and self._calls.action(position).name == row.name

    def _looked_up(self, row: _Row, arguments: Any) -> Iterator[tuple[Names, bytes]]:
        """
        Yield under which keys, and without which arguments, what answers a call is looked for.

        What is known of the object on one side only does not count: it may
        be absent now, or the recording from before it was recorded.
        """
        is_known = SELF in arguments
        ignored = row.ignored if is_known or not self._calls.have_settings else row.ignored | {SELF}
        self._index_without(ignored)
        yield ignored, self._key(row.kind, row.name, arguments, ignored)
        if is_known:
            yield ignored, self._key(row.kind, row.name, arguments, ignored | {SELF})

    def _index_without(self, ignored: Names) -> None:
        if not self._turns.knows(ignored):
            self._turns.add(ignored, self._keyed(self._calls.answering(), ignored))

    def _taken(self, row: _Row, arguments: Any, called: Called) -> int | None:
        """Return the position of the recorded call that answers, None if none does; it is used from now on."""
        with self._lock:
            if isinstance(called, AbsentCall) and called.positional is not None:
                unnamed = stored_form(list(called.positional), self._redactor.clean_packed)
                ignored = row.ignored | {SELF} if self._calls.have_settings else row.ignored
                position = self._unsigned.take(row.kind, row.name, ignored, unnamed, arguments)
            else:
                found = (self._turns.take(ignored, key) for ignored, key in self._looked_up(row, arguments))
                position = next((each for each in found if each is not None), None)
            if position is not None:
                self.play_count += 1
                self._latest = position
                self._calls.use(position)
        return position

    def _answer(self, position: int, row: _Row, returns: Any) -> Answer:
        entry = self._calls.tape.entry(position)
        flags, output, failure = entry.get("fl", []), entry.get("out"), failure_of(entry.get("err"))
        if not isinstance(flags, list):
            raise DamagedError("", 0, "an action entry is not as the format says: its flags are no list")
        error = None if failure is None else thawed_error(row.operation, failure) or error_of(failure, row.errors)
        if error is None and (lack := _lack(entry, flags)):
            error = PlaybackError(f"action {entry['i']} {lack}")
        is_async = "async" in flags
        if "stream" in flags:
            # What is known of it is given out before the error is raised.
            items = iter(()) if "out_n" in entry else rebuilt_items(output, returns)
            thaws = row.operation.thaw is not None
            return Answer(error=error, items=self._thawed_items(row, items) if thaws else items, is_async=is_async)
        value = played_back(output, returns)
        return Answer(value=value if error else thawed(row.operation, value), error=error, is_async=is_async)

    def _thawed_items(self, row: _Row, items: Iterator[Any]) -> Iterator[Any]:
        for item in items:
            yield thawed(row.operation, item)

    def _missed(self, row: _Row, stored: Any, called: Called, arguments: Mapping[str, Any]) -> Ticket | None:
        """Let the call run and be recorded if that is wanted and there is something to run."""
        missing = self._missing
        is_over = isinstance(missing, ActiveSession) and not missing.is_open
        if missing is not None and not is_over and not isinstance(called, AbsentCall):
            with self._lock:
                self.missing_count += 1
            return missing.begin(called, arguments)
        shown = stored
        if isinstance(called, AbsentCall) and called.positional:
            given = stored_form(list(called.positional), self._redactor.clean_packed)
            shown = {**{f"#{number}": item for number, item in enumerate(given, 1)}, **stored}
        most = self._compared_most()
        miss = Miss(row.kind, row.name, shown, row.ignored, self._latest, most, self._hints())
        raise miss.error(self.session.session_id, self._calls)

    def _compared_most(self) -> int:
        """Return how many recorded calls the next miss is compared with: few, once there were many misses."""
        with self._lock:
            self._compared += len(self.session.actions)
            return FEW if self._compared > _MOST_COMPARED else _MOST_COMPARED

    def _hints(self) -> tuple[str, ...]:
        own = [name for name in self.session.redaction.split("+") if name and "/" not in name and name != "none"]
        if not own or self._has_own_redactors:
            return ()
        return (
            f"arguments were also redacted by {', '.join(own)}: play(redact=[...]) takes those, ignore= leaves out",
        )

    # -- the block ------------------------------------------------------------------

    @property
    def unused(self) -> Sequence[ReplayAction]:
        """Recorded calls that were not asked for, by sequence; each is read when it is looked at."""
        return self._calls.unused

    @property
    def all_played(self) -> bool:
        """Whether every recorded call was asked for."""
        return not self._calls.left

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

    def note_metadata(self, key: str, value: str) -> None:
        """The recording has it."""

    def __enter__(self) -> Player:
        if self._was_entered:
            raise UsageError("this play has been entered before: make another one with play(...)")
        self._was_entered = True
        self._scope = Scope(self, None, CURRENT.get())
        CURRENT.set(self._scope)
        scope.play_begins(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        scope.play_ends(self)
        if self._scope is not None:
            scope.leave(self._scope)
            self._scope = None

    async def __aenter__(self) -> Player:
        return self.__enter__()

    async def __aexit__(self, *exc_info: object) -> None:
        self.__exit__()

    def count_unscoped(self) -> None:
        """A player takes every call: there is nothing to count."""

    def __repr__(self) -> str:
        return f"<Player {self.session.session_id}, {self.play_count} played, {self._calls.left} unused>"


def _is_among(names: Names, kind: str, name: str) -> bool:
    return name in names or kind in names


def _key(match_on: Names, kind: str, name: str, arguments: Any, ignored: Names) -> bytes:
    return match_key(
        kind if "kind" in match_on else "",
        name if "name" in match_on else "",
        without(arguments, ignored) if "arguments" in match_on else None,
    )


def _filled(given: Any, played: ReplaySession) -> ActiveSession | Unrecorded | None:
    """Return the open session that calls are recorded into which no recording answers."""
    session = given.opened if isinstance(given, SessionHandle) else given
    if session is None and given is None:
        return None
    if isinstance(session, ActiveSession) and session.session_id == played.session_id:
        raise UsageError("record_missing= is the session that is played: give another one")
    is_silent = isinstance(session, ActiveSession) and session.is_silent
    if isinstance(session, Unrecorded) or (isinstance(session, ActiveSession) and session.is_open and not is_silent):
        return session
    raise UsageError(
        "record_missing= takes a session that is open and records: with replaykit.session(store=...) as session, "
        "replaykit.play(..., record_missing=session): ..."
    )


# -- opening ----------------------------------------------------------------------


def play(
    recording: Any,
    session: Which = "last",
    *,
    match_on: Iterable[str] = ("kind", "name", "arguments"),
    ignore: Iterable[str] = (),
    on_repeat: OnRepeat = "error",
    live: Iterable[str] = (),
    exceptions: Iterable[type[BaseException]] | ErrorsByName = (),
    record_missing: SessionHandle | ActiveSession | None = None,
    redact: Iterable[Custom] = (),
) -> Player:
    """
    Return a block in which recorded functions and wrapped objects answer from a recording.

    *recording* is a path, anything with ``get_session`` (a memory, a
    `Recording`), or a session itself.  Calls match by kind, name and redacted
    arguments, first in first out; *ignore* names arguments that do not count;
    *on_repeat* says what a call does once its recordings are used up; *live*
    names functions (or kinds) that run for real.  Recorded exceptions come
    back as themselves where they are built in, ours, or in *exceptions*
    (classes, or a map of them by qualified name) or in ``raises=`` of the function; else as `RecordedError`.  With
    *record_missing*, an open session, a call that no recording answers runs
    and is recorded there; without it such a call is an error.  *redact* are
    the callables that the session was recorded with, which a recording names
    and does not hold.

    Raises:
        UsageError: An option is wrong; the session of *record_missing* is not open.
        SessionNotFoundError: There is no such session.
        PlaybackError: The session cannot be played (its bodies were not kept).
        StorageError: The recording cannot be read.
    """
    store = _opened(recording) if isinstance(recording, (str, os.PathLike)) else None
    try:
        player = Player(
            _session_of(recording if store is None else Catalogue(store), session),
            match_on=match_on,
            ignore=ignore,
            on_repeat=on_repeat,
            live=live,
            exceptions=exceptions,
            record_missing=record_missing,
            redact=redact,
        )
    except BaseException:
        if store is not None:
            store.close()
        raise
    if store is not None:
        # Calls are read when they answer, and those that are left over after the block.
        weakref.finalize(player, store.close)
    return player


def _lack(entry: Entry, flags: Sequence[str]) -> str:
    """Say what of the result of an action was not recorded, so that nothing shorter is taken for it; else nothing."""
    if "unfinished" in flags:
        return "was recorded as unfinished: it has no result"
    if "damaged" in flags:
        return "is damaged: its result is not what came back"
    if "out_n" in entry:
        return f"had a result of {entry['out_n']} bytes, and only its head was kept: see max_action_bytes="
    if "stream" in flags and "cut" in flags and "in_n" not in entry:
        return "is a stream of which only the first items were kept"
    if "abandoned" in flags:
        return "is a stream that was left before its end: what would have come next was not recorded"
    return ""


def _opened(location: str | os.PathLike[str]) -> Store:
    path = os.fspath(location)
    return MemvidStore(path) if is_memvid(path) else open_store(path, read_only=True)


def _session_of(recording: Any, which: Which) -> ReplaySession:
    if isinstance(recording, ReplaySession):
        return recording
    if hasattr(recording, "get_session"):
        session: ReplaySession = recording.get_session(which)
        return session
    raise UsageError(f"play() takes a path, a recording or a session, not {type(recording).__name__}")
