"""Recorded sessions as tests: which there are, and what each is called."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import attrs

from replaykit.errors import UsageError
from replaykit.loading import Recording, load
from replaykit.model import ReplaySession, SessionSummary
from replaykit.plain_text import one_line
from replaykit.suites.shards import part_of

__all__ = ["OpenRecordings", "SessionReference", "recorded_sessions"]

_LABEL_DIGITS = 8


@attrs.frozen
class SessionReference:
    """
    One session of a recording, found again by path and id: it can be sent to another process.

    Attributes:
        path: The recording's, absolute.
        label: What a test of it is called: its name and the beginning of its
            id.  No two of a list share one, and it stays the same as long as
            no other session of this name has an id that begins so.
    """

    path: str
    session_id: UUID
    label: str

    @contextmanager
    def open(self) -> Iterator[ReplaySession]:
        """
        Give the session; its actions can be read inside the block.

        Opening a recording takes the longer the more sessions it has: for many
        of them there is `OpenRecordings`.

        Raises:
            SessionNotFoundError: It is gone.
            StorageError: The recording cannot be read.
        """
        with OpenRecordings() as recordings:
            yield recordings.session(self)

    def __str__(self) -> str:
        return self.label


class OpenRecordings:
    """
    Recordings that stay open until this is closed, each opened when a session of it is first asked for.

    Sessions read out of them can be used that long.  Not for several threads at once.
    """

    def __init__(self) -> None:
        self._open: dict[str, Recording] = {}

    def session(self, reference: SessionReference) -> ReplaySession:
        """
        Return the session.

        Raises:
            SessionNotFoundError: It is gone.
            StorageError: The recording cannot be read.
        """
        if reference.path not in self._open:
            self._open[reference.path] = load(reference.path)
        return self._open[reference.path].get_session(reference.session_id)

    def close(self) -> None:
        """Let go of the files."""
        while self._open:
            self._open.popitem()[1].close()

    def __enter__(self) -> OpenRecordings:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def recorded_sessions(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    state: str | None = None,
    where: Callable[[Mapping[str, Any]], bool] | Mapping[str, Any] | None = None,
    shard: str | None = None,
) -> list[SessionReference]:
    """
    Return the sessions of the recording at *path* that match, as ``list_sessions`` chooses and orders them.

    ``shard="2/8"`` takes the second of eight parts, as in `replay_all`; a part
    may be empty.

    Raises:
        UsageError: No session matches, or an argument is wrong.
        StorageError: The recording cannot be read.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise UsageError(f"recorded_sessions() takes the path of a recording, not {type(path).__name__}")
    with load(path) as recording:
        found = recording.list_sessions(name=name, state=state, where=where)
    if not found:
        raise UsageError(f"{os.fspath(path)} has no session{_chosen_by(name=name, state=state, where=where)}")
    place, labels = os.path.abspath(path), _labels(found)
    return [SessionReference(place, each.session_id, labels[each.session_id]) for each in part_of(found, shard)]


def _chosen_by(**filters: Any) -> str:
    given = [f"{name}={value!r}" for name, value in filters.items() if value is not None]
    return f" with {', '.join(given)}" if given else ""


def _labels(found: Sequence[SessionSummary]) -> dict[UUID, str]:
    short = {each.session_id: _label(each, _LABEL_DIGITS) for each in found}
    often = Counter(short.values())
    return {
        each.session_id: short[each.session_id] if often[short[each.session_id]] == 1 else _label(each, 32)
        for each in found
    }


def _label(summary: SessionSummary, digits: int) -> str:
    return f"{one_line(summary.name or 'session', 60)}-{summary.session_id.hex[:digits]}"
