"""
A whole program played from the session of its run; the processes that it starts from theirs.

They are told apart by the order in which they were started.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any
from uuid import UUID

from replaykit.adapters.finding import supported_libraries
from replaykit.errors import PlaybackError
from replaykit.intercept import scope
from replaykit.intercept.coverage import Method
from replaykit.intercept.handler import Called
from replaykit.playback.player import Player, play
from replaykit.running.ambient import Position, number_children
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.opening import open_store

__all__ = ["AmbientPlay"]


class AmbientPlay:
    """
    Plays this process from a session of the store at *location* until the process ends.

    Raises:
        SessionNotFoundError: There is no such session.
        PlaybackError: It cannot be played.
        StorageError: The store cannot be read.
    """

    def __init__(self, location: str, which: str, position: Position) -> None:
        self._location = location
        self._position = position
        self._children = 0
        self._player: Any = None
        if position.child:
            self._wait()
        else:
            self._player = _player(location, _program_session(location, which))
            self._position = Position(name=position.name, program=self._player.session.session_id)
            self._player.__enter__()
        scope.on_fork(self._forked)
        number_children(self._count_child)

    def position_of_child(self) -> Position:
        """Return the position of a process that this one is about to start."""
        self._count_child()
        return self._position.of_child(self._children, None)

    def _count_child(self) -> None:
        self._children += 1

    def _wait(self) -> None:
        self._player = _WaitingPlay(self._location, self._position)
        scope.play_begins(self._player)

    def _forked(self) -> None:
        scope.play_ends(self._player)
        self._position = self._position.of_child(self._children, None)
        self._children = 0
        self._wait()


class _WaitingPlay:
    """Stands for the player of a child process until there is a call to answer."""

    is_ambient = True
    is_open = False
    adopts = False
    recorder = None
    run = None

    def __init__(self, location: str, position: Position) -> None:
        self._location = location
        self._position = position
        self._opening = threading.RLock()
        self._player: Player | None = None

    def begin(self, called: Called, arguments: Mapping[str, Any]) -> Any:
        """
        Answer a call from the session of this process.

        Raises:
            PlaybackError: The recorded program's process recorded nothing, or its session cannot be played.
            NoMatchError: No recorded call is left that answers it.
        """
        with self._opening:
            if self._player is None:
                self._player = _player(self._location, _session_of(self._location, self._position))
        return self._player.begin(called, arguments)

    def note_uncovered(self, method: Method) -> None:
        """Nobody asks a child process for it."""

    def note_metadata(self, key: str, value: str) -> None:
        """Nothing is recorded."""

    def count_unscoped(self) -> None:
        """A player takes every call: there is nothing to count."""


def _program_session(location: str, which: str) -> UUID:
    """Return the session *which*; ``"last"`` is that of the last program, not of a process that it started."""
    with closing(open_store(location, read_only=True)) as store:
        catalogue = Catalogue(store)
        programs = catalogue.list_sessions(where=lambda metadata: "child" not in metadata)
        return catalogue.get_session(programs[-1] if which == "last" and programs else which).session_id


def _session_of(location: str, position: Position) -> UUID:
    """Return the session of the process that had this *position*."""
    with closing(open_store(location, read_only=True)) as store:
        catalogue = Catalogue(store)
        for summary in catalogue.list_sessions(where={"child": position.child}):
            if catalogue.get_session(summary).parent_session == position.program:
                return summary.session_id
    raise PlaybackError(
        f"nothing was recorded of process {position.child} (so it was started) of run {position.program}: it made no "
        "recorded call then, or the program started its processes in another order"
    )


def _player(location: str, session_id: UUID) -> Player:
    return play(location, session_id, exceptions=_LoadedErrors(supported_libraries()))


class _LoadedErrors(Mapping[str, type[BaseException]]):
    """
    The exception classes of *libraries* that are loaded, by qualified name: for the program to catch.

    A recording cannot have anything imported, or a class of another library made.
    """

    def __init__(self, libraries: frozenset[str]) -> None:
        self._libraries = libraries

    def __getitem__(self, name: str) -> type[BaseException]:
        module, _, own_name = name.rpartition(".")
        if module.partition(".")[0] in self._libraries and module in sys.modules:
            found = vars(sys.modules[module]).get(own_name)
            if isinstance(found, type) and issubclass(found, BaseException):
                return found
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
