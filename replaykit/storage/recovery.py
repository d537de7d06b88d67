"""Publishes what a process that is gone has left behind; deletes nothing that is not published."""

from __future__ import annotations

from replaykit.errors import SessionNotFoundError, UsageError
from replaykit.logs import get_logger
from replaykit.protocols import Log, Store, StoredSession
from replaykit.storage.live_log import sequences_in
from replaykit.storage.publish import Publisher

__all__ = ["is_published", "recover"]

log = get_logger("storage")


def recover(store: Store) -> int:
    """
    Publish every live log of *store* whose writer is gone, as interrupted; return how many.

    A log that cannot be published stays where it is and is tried again next time.
    """
    recovered = 0
    for live in store.logs():
        recovered += _recover_one(store, live)
    return recovered


def _recover_one(store: Store, live: Log) -> int:
    try:
        if live.has_writer() or not live.claim():
            live.close()
            return 0
        stored = _published(store, live)
        if stored is None or not is_published(stored, live):
            Publisher(store, live, card=None if stored is None else stored.card).publish(final=True)
        live.remove()
    except (OSError, UsageError) as error:
        # One log that cannot be read keeps nobody from the rest.
        log.error("recovery_failed", session=str(live.session_id), error=str(error))
        live.close()
        return 0
    log.info("session_recovered", session=str(live.session_id))
    return 1


def _published(store: Store, live: Log) -> StoredSession | None:
    try:
        return store.read(live.session_id)
    except SessionNotFoundError:
        return None


def is_published(stored: StoredSession, live: Log) -> bool:
    """Return whether the parts hold all of this very log: its writer died between publishing and removing it."""
    if stored.card.state == "open" or stored.card.log_through != live.size:
        return False
    # A resumed session has a second log, which may well be as long as the
    # first one was: only what is in it tells them apart.
    return all(sequence in stored.sequences for sequence in sequences_in(live))
