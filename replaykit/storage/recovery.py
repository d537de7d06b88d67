"""Publishes what a process that is gone has left behind; deletes nothing that is not published."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import attrs

from replaykit.errors import SessionNotFoundError, StorageError, UsageError
from replaykit.format.entries import Sealing
from replaykit.logs import get_logger
from replaykit.protocols import Log, Store, StoredSession
from replaykit.storage.live_log import LogReader, read_opening, sequences_in
from replaykit.storage.pausing import Pause, no_pause
from replaykit.storage.publish import Publisher

__all__ = ["is_published", "recover", "recover_session"]

log = get_logger("storage")


def recover(store: Store, logs: Sequence[Log] | None = None, *, pause: Pause = no_pause) -> int:
    """
    Publish every live log of *store* whose writer is gone, as interrupted; return how many.

    *logs* are those that are looked at, all by default; *pause* is called
    between slices of work.  They are published in the order in which they were
    written last, so that the newest session is the last one.  A log that cannot be published stays where it is
    and is tried again next time.  A session that has parts and no log any
    more, since a power loss took its name, is interrupted too.
    """
    found = sorted(store.logs() if logs is None else logs, key=_last_written)
    recovered = sum(_recover_one(store, live, pause) for live in found)
    # Cards first: a session that is open in them had its log then.
    for session_id in _open_sessions(store) - {live.session_id for live in store.logs()}:
        _interrupt(store, session_id)
    return recovered


def recover_session(store: Store, session_id: UUID) -> bool:
    """
    Publish what a process that is gone has left of one session; False while a living one records it.

    Raises:
        StorageError: It is not published when this returns.
    """
    for live in _logs_of(store, session_id):
        if live.has_writer():
            return False
        recover(store, [live])
    for live in _logs_of(store, session_id):
        if live.has_writer():
            return False
        raise StorageError(
            f"{live.path} is all there is of a session whose process is gone, and another process is publishing it, "
            "or the store refuses it (replaykit doctor says why): try again once it is gone",
            path=live.path,
        )
    return True


def _logs_of(store: Store, session_id: UUID) -> list[Log]:
    return [live for live in store.logs() if live.session_id == session_id]


def _last_written(live: Log) -> tuple[int, int]:
    """Return when *live* was written last, as its file says, which is to some milliseconds, and when it was begun."""
    written_ns = 0
    with suppress(OSError):
        written_ns = os.stat(live.path).st_mtime_ns
    opening = read_opening(live)
    live.close()
    return written_ns, 0 if opening is None else opening.created_ns


def _open_sessions(store: Store) -> set[UUID]:
    try:
        return {card.session_id for card in store.cards() if card.state == "open"}
    except OSError as error:
        # A damaged listing keeps nobody from the logs.
        log.error("recovery_failed", location=store.location, error=str(error))
        return set()


def _recover_one(store: Store, live: Log, pause: Pause) -> int:
    try:
        if live.has_writer() or not live.claim():
            live.close()
            return 0
        if live.size == 0:
            # Whoever is just making it waits for it to go.
            live.remove()
            return 0
        stored = _published(store, live)
        if stored is None or not is_published(stored, live, pause=pause):
            card = None if stored is None else stored.card
            Publisher(store, live, card=card, pause=pause).publish(final=True)
        live.remove()
    except (OSError, UsageError) as error:
        # One log that cannot be read keeps nobody from the rest.
        log.error("recovery_failed", session=str(live.session_id), error=str(error))
        live.close()
        return 0
    except BaseException:
        # Nobody shall take a log for a living writer's because of an interrupt.
        live.close()
        raise
    log.info("session_recovered", session=str(live.session_id))
    return 1


def _published(store: Store, live: Log) -> StoredSession | None:
    try:
        return store.read(live.session_id)
    except SessionNotFoundError:
        return None


def _interrupt(store: Store, session_id: UUID) -> None:
    """Seal what is published of a session that has no log."""
    try:
        # Whoever makes the log is its writer: nobody else ends it meanwhile.
        live = store.create_log(session_id)
    except OSError as error:
        log.error("recovery_failed", session=str(session_id), error=str(error))
        return
    try:
        stored = _published(store, live)
        if stored is not None and stored.card.state == "open":
            opening = attrs.evolve(stored.opening, metadata=dict(stored.card.metadata))
            Publisher(store, live, card=stored.card).publish_sealing(opening, _interruption(stored))
            log.info("session_recovered", session=str(session_id))
        live.remove()
    except OSError as error:
        log.error("recovery_failed", session=str(session_id), error=str(error))
        live.close()


def _interruption(stored: StoredSession) -> Sealing:
    """Return the sealing of a session that ends with the last action that is published."""
    last = stored.action(stored.sequences[-1]) if stored.sequences else {}
    created_ns = stored.card.created_ns
    ended_ns = last.get("t", created_ns) + last.get("d", 0)
    return Sealing(
        state="interrupted",
        ended_ns=ended_ns,
        ended_by="interrupted",
        duration_ns=max(0, ended_ns - created_ns),
        metadata=dict(stored.card.metadata),
    )


def is_published(stored: StoredSession, live: Log, *, pause: Pause = no_pause) -> bool:
    """
    Return whether the parts hold all of this very log; *pause* is called between slices of work.

    Its writer died between publishing and removing it, or a power loss has
    undone the removal and perhaps taken the end of it.
    """
    if stored.card.state != "interrupted":
        # A sealed session takes no more; an open one has its end to come.
        return bool(stored.card.state == "sealed")
    # A resumed session has a second log, which may well be as long as the
    # first one was: only what is in it tells them apart.
    reader = LogReader(live)
    found = sequences_in(reader, pause=pause)
    if reader.sealing is not None or not all(sequence in stored.sequences for sequence in found):
        return False
    is_resumed = reader.opening is not None and reader.opening.resumed
    return stored.card.log_through == live.size or (stored.card.log_through > live.size and not is_resumed)
