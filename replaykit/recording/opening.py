"""How a session begins: whether it is recorded at all, what its first record says, and into which log."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs

from replaykit.errors import ReadOnlyError, SessionActiveError, StorageError, StoreFullError, UsageError
from replaykit.format.entries import Opening
from replaykit.intercept import scope
from replaykit.model import ACCOUNT, MEMVID, ReplayConfig, ReplaySession
from replaykit.protocols import Log
from replaykit.recording.choosing import is_sampled
from replaykit.recording.metadata import clean_name, metadata_of_user
from replaykit.recording.session import ActiveSession, Unrecorded
from replaykit.redactors import Redactor
from replaykit.settings import is_disabled, policy_of
from replaykit.storage.finding import Which
from replaykit.storage.log_files import MemoryLog
from replaykit.storage.recovery import recover_session

if TYPE_CHECKING:
    from replaykit.recording.engine import RecordingEngine

__all__ = ["Asked", "begun", "resumed"]

_NO_CONFIG = ReplayConfig()


@attrs.frozen(kw_only=True)
class Asked:
    """
    What is asked of a session that begins.

    An ambient one stands for the whole process: it is in no context, and
    every other session is its child.  Inside a play nothing is kept but
    with ``while_playing``.  With ``may_skip`` its block may run unrecorded.
    """

    name: str | None = None
    config: ReplayConfig | None = None
    auto_checkpoint: Any = None
    metadata: Mapping[str, Any] | None = None
    adopts: bool = False
    is_ambient: bool = False
    may_skip: bool = False
    while_playing: bool = False
    parent_session: UUID | None = None


def begun(engine: RecordingEngine, asked: Asked) -> ActiveSession | Unrecorded:
    """Return a session of *engine* that has begun; `RecordingEngine.open` says what is raised."""
    engine.lease.demand_open()
    session_id, keeps_failures = uuid.uuid4(), engine.settings.keep == "on_failure"
    is_chosen, is_off = is_sampled(session_id, float(engine.settings.recorded_share)), is_disabled()
    if asked.may_skip and (is_off or not (is_chosen or keeps_failures)):
        engine.unsampled += not is_chosen
        return Unrecorded(engine.identity)
    if engine.is_read_only:
        raise ReadOnlyError(f"{engine.location} is open for reading: open it for writing to record, or give a store=")
    redactor = engine.redactor.with_own_counts()
    opening, options = _opening(engine, session_id, asked, redactor), _options(engine, asked, redactor)
    # Now rather than in the first call.
    engine.redactor.prepare()
    # Not that it is open: whoever lists a directory opens it, and that it can be written nobody knows by then.
    worked_before = engine.lease.has_worked
    try:
        if is_off or (scope.is_playing() and not asked.while_playing):
            session = _silent(engine, opening, options)
        else:
            session = _logged(engine, opening, options, is_held=keeps_failures and not is_chosen)
    except StorageError as error:
        # That the store may hold no more is known from the start, and no reason to stop a service.
        is_expected = worked_before or isinstance(error, StoreFullError)
        if not (asked.may_skip and is_expected and engine.settings.on_loss != "raise"):
            raise
        engine.troubles.report_skipped(error)
        return Unrecorded(engine.identity)
    engine.lease.has_worked = True
    return session


def _opening(engine: RecordingEngine, session_id: UUID, asked: Asked, redactor: Redactor) -> Opening:
    """
    Return how the session begins, now and in this context.

    Raises:
        SessionActiveError: This context is already in a session of *engine*.
    """
    outer = engine.enclosing()
    if outer is not None and not outer.is_ambient:
        raise SessionActiveError
    settings = engine.settings
    metadata = metadata_of_user({**settings.metadata, **(asked.metadata or {})}, redactor)
    share = float(settings.recorded_share)
    if (asked.may_skip or settings.keep == "on_failure") and share not in (0.0, 1.0):
        metadata = {**metadata, ACCOUNT: {"sample_rate": share}}
    surrounding = outer or (None if asked.is_ambient else scope.ambient_session())
    generation = getattr(engine.state_source, "generation", None)
    memory_id = getattr(engine.state_source, "memory_id", None)
    return Opening(
        session_id=session_id,
        name=clean_name(asked.name, redactor),
        created_ns=engine.clock.time_ns(),
        metadata=metadata,
        redaction=engine.redactor.version,
        capture=settings.capture,
        parent_session=asked.parent_session if surrounding is None else surrounding.session_id,
        start_generation=generation if isinstance(generation, int) else None,
        memory_id=memory_id if isinstance(memory_id, UUID) else None,
    )


def _options(engine: RecordingEngine, asked: Asked, redactor: Redactor) -> dict[str, Any]:
    """
    Return what an `ActiveSession` is told besides its log and its opening.

    Raises:
        UsageError: One of them is wrong.
    """
    config = asked.config or engine.settings.config or _NO_CONFIG
    if not isinstance(config, ReplayConfig):
        raise UsageError(f"config= is a ReplayConfig, not {type(config).__name__}")
    return {
        "policy": policy_of([asked.auto_checkpoint, config, engine.settings.auto_checkpoint]),
        "max_actions": config.max_actions_per_session,
        "redactor": redactor,
        "adopts": asked.adopts,
        "is_ambient": asked.is_ambient,
    }


def _silent(engine: RecordingEngine, opening: Opening, options: Mapping[str, Any]) -> ActiveSession:
    """Return a session that keeps nothing: inside a play, or with recording switched off."""
    session = ActiveSession(engine, MemoryLog(opening.session_id), opening, **options)
    session.silence()
    engine.enter(session)
    return session


def _logged(engine: RecordingEngine, opening: Opening, options: Mapping[str, Any], *, is_held: bool) -> ActiveSession:
    """Return a session that is kept in the store, or held in RAM until something fails."""
    session_id = opening.session_id
    live: Log = engine.held.new_ring(session_id) if is_held else engine.lease.first_log(session_id)
    session = _written(engine, live, attrs.evolve(opening, session_id=live.session_id), options)
    engine.enter(session)
    return session


def _written(engine: RecordingEngine, live: Log, opening: Opening, options: Mapping[str, Any]) -> ActiveSession:
    """Return a session whose first record is in its log."""
    try:
        return ActiveSession(engine, live, opening, **options)
    except BaseException:
        # Its first record does not fit, or an interrupt came: nothing of it
        # is worth a recovery.
        with contextlib.suppress(OSError):
            live.remove()
        raise


def resumed(engine: RecordingEngine, which: Which) -> ActiveSession:
    """Return an interrupted session of *engine* that goes on; `RecordingEngine.resume` says what is raised."""
    stored = engine.lease.catalogue.get_session(which)
    _demand_resumable(stored)
    store = engine.lease.store
    if not recover_session(store, stored.session_id):
        raise UsageError(f"session {stored.session_id} is being recorded by another process")
    card = store.read(stored.session_id).card
    opening = Opening(
        session_id=stored.session_id,
        name=stored.name,
        created_ns=stored.created_ns,
        metadata=dict(card.metadata),
        redaction=engine.redactor.version,
        capture=engine.settings.capture,
        parent_session=stored.parent_session,
        start_generation=stored.start_generation,
        memory_id=stored.memory_id,
        resumed=True,
    )
    options = {
        "policy": engine.settings.auto_checkpoint,
        "adopts": True,
        "first_sequence": stored.actions[-1].sequence + 1 if len(stored.actions) else 0,
        "first_checkpoint": len(stored.checkpoints),
    }
    session = _written(engine, engine.lease.new_log(opening.session_id), opening, options)
    # Of the new log nothing is published.
    engine.enter(session, attrs.evolve(card, log_through=0))
    return session


def _demand_resumable(stored: ReplaySession) -> None:
    if stored.state == "sealed":
        raise UsageError(f"session {stored.session_id} was ended; only an interrupted one can be resumed")
    if stored.state == "open":
        raise UsageError(f"session {stored.session_id} is being recorded by another process")
    if stored.capture == MEMVID:
        raise UsageError(f"session {stored.session_id} was recorded by memvid; it cannot go on here")
