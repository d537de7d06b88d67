"""
memvid's ``session_*`` names on a recorded memory: with memvid's shapes and errors, recorded and replayed by us.

Sessions that memvid recorded itself are read from the memory's file and
stay there; they are listed with their origin and can be replayed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from replaykit.adapters.memvid_errors import as_memvid_errors
from replaykit.adapters.memvid_replaying import replayed
from replaykit.errors import SessionNotFoundError, StorageError
from replaykit.importers.memvid.store import MemvidStore
from replaykit.intercept.scope import is_playing
from replaykit.logs import get_logger
from replaykit.model import MEMVID, ReplaySession, SessionSummary
from replaykit.storage.catalogue import Catalogue

__all__ = [
    "close",
    "leave",
    "session_checkpoint",
    "session_delete",
    "session_end",
    "session_list",
    "session_replay",
    "session_start",
]

log = get_logger("adapters")

_MEMORY = "memory"
"""The metadata that says which memory a session was started on."""

_OURS = "replaykit"


# -- the six names ------------------------------------------------------------------------


def session_start(self: Any, name: str | None = None) -> str:
    """Start a recording session, which lasts until `session_end`; return its id."""
    _demand_open(self)
    # Later writes may make memvid's own sessions unreadable: they are read now.
    _of_memvid(self)
    with as_memvid_errors():
        session_id = self._self_recorder.start_session(name, metadata={_MEMORY: _path_of(self)})
    self._self_cache["started"] = session_id
    return str(session_id)


def session_end(self: Any) -> dict[str, Any]:
    """End the session and return its summary."""
    _demand_open(self)
    with as_memvid_errors():
        session = self._self_recorder.end_session()
    self._self_cache.pop("started", None)
    return {
        "session_id": str(session.session_id),
        "name": session.name or "",
        "action_count": len(session.actions),
        "checkpoint_count": len(session.checkpoints),
        "created_secs": session.created_secs,
        "ended_secs": session.ended_secs,
    }


def session_checkpoint(self: Any) -> str:
    """Make a checkpoint in the session; return its id."""
    _demand_open(self)
    with as_memvid_errors():
        return str(self._self_recorder.create_checkpoint())


def session_list(self: Any) -> list[dict[str, Any]]:
    """Return the ended sessions, those that memvid recorded first; ``origin`` says who recorded each."""
    _demand_open(self)
    theirs = _of_memvid(self)
    ours = [item for item in _our_sessions(self) if item.session_id not in theirs]
    imported = _imported(self)
    return [
        *(_listed(item, MEMVID) for item, _ in theirs.values()),
        *(_listed(item, MEMVID if item.session_id in imported else _OURS) for item in ours),
    ]


def session_replay(
    self: Any,
    session_id: str,
    *,
    top_k: int | None = None,
    adaptive: bool | None = None,
    audit: bool | None = None,
    use_model: str | None = None,
    diff: bool | None = None,
) -> dict[str, Any]:
    """
    Replay a session on the memory as it is now and return what came of it.

    Puts are looked for, removed frames must be gone, finds and asks run
    again and are compared by their frames, order, scores and answers.  An
    ask that needed a model runs only with *use_model*.
    """
    _demand_open(self)
    wanted = _uuid(session_id)
    session = _session(self, wanted)
    if session is None:
        raise ValueError(f"Session {wanted} not found")
    return replayed(self, session, top_k=top_k, adaptive=adaptive, audit=bool(audit), use_model=use_model)


def session_delete(self: Any, session_id: str) -> None:
    """Delete a session; one of memvid's own goes from the memory's file."""
    _demand_open(self)
    wanted = _uuid(session_id)
    theirs = _of_memvid(self)
    if wanted in theirs:
        # Without a commit a crash would leave the file without a table of contents.
        self.__wrapped__.session_delete(str(wanted))
        self.__wrapped__.commit()
        del theirs[wanted]
        return
    with as_memvid_errors():
        self._self_recorder.delete_session(wanted)


# -- closing --------------------------------------------------------------------------------


def close(self: Any) -> None:
    """Close the memory; a session that was started on it ends and is kept."""
    try:
        self.__wrapped__.close()
    finally:
        started = self._self_cache.pop("started", None)
        if started is not None and self._self_recorder.active_session_id == started:
            self._self_recorder.end_session()


def leave(self: Any, *exc_info: object) -> None:
    """Close the memory at the end of its block."""
    close(self)


# -- what there is ----------------------------------------------------------------------------


def _path_of(memory: Any) -> str:
    if "path" not in memory._self_cache:
        # In a play the memory may be gone: its path then names no file.
        named = getattr(memory.__wrapped__, "path", "") if is_playing() else memory.__wrapped__.path
        memory._self_cache["path"] = os.path.abspath(named)
    path: str = memory._self_cache["path"]
    return path


def _of_memvid(memory: Any) -> dict[UUID, tuple[SessionSummary, ReplaySession]]:
    """Return the sessions that memvid recorded, read once: its own later writes may overwrite them."""
    found: dict[UUID, tuple[SessionSummary, ReplaySession]] | None = memory._self_cache.get("sessions")
    if found is None:
        found = memory._self_cache["sessions"] = _read(memory)
    return found


def _read(memory: Any) -> dict[UUID, tuple[SessionSummary, ReplaySession]]:
    if is_playing():
        return {}
    path = _path_of(memory)
    try:
        store = MemvidStore(path, salvage=True)
    except StorageError as error:
        log.warning("sessions_not_read", file=os.path.basename(path), error=f"{type(error).__name__}: {error}")
        return {}
    for each in store.unreadable:
        log.warning("session_not_read", file=os.path.basename(path), error=str(each.error))
    catalogue = Catalogue(store)
    return {item.session_id: (item, catalogue.get_session(item)) for item in catalogue.list_sessions()}


def _our_sessions(memory: Any) -> list[SessionSummary]:
    """Return the ended sessions in our store, but for those that were started on another memory."""
    path = _path_of(memory)
    listed = memory._self_recorder.list_sessions(where=lambda metadata: metadata.get(_MEMORY, path) == path)
    return [item for item in listed if item.state != "open"]


def _imported(memory: Any) -> set[UUID]:
    return {item.session_id for item in memory._self_recorder.list_sessions(where={"origin": MEMVID})}


def _session(memory: Any, wanted: UUID) -> ReplaySession | None:
    theirs = _of_memvid(memory).get(wanted)
    if theirs is not None:
        return theirs[1]
    try:
        session: ReplaySession = memory._self_recorder.get_session(wanted)
    except SessionNotFoundError:
        return None
    return None if session.state == "open" else session


def _listed(item: SessionSummary, origin: str) -> dict[str, Any]:
    ended: Mapping[str, Any] = {} if item.ended_secs is None else {"ended_secs": item.ended_secs}
    return {
        "session_id": str(item.session_id),
        "name": item.name or "",
        "action_count": item.action_count,
        "checkpoint_count": item.checkpoint_count,
        "created_secs": item.created_secs,
        **ended,
        "origin": origin,
    }


# -- what is refused ------------------------------------------------------------------------------


def _demand_open(memory: Any) -> None:
    # In a play the memory may be gone.
    if not is_playing() and memory.__wrapped__.closed:
        raise RuntimeError("memvid handle is closed")


def _uuid(text: Any) -> UUID:
    try:
        return text if isinstance(text, UUID) else UUID(text)
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"Invalid session ID: {text!r} is no UUID") from error
