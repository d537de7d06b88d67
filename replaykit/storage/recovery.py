"""Publishes what a process that is gone has left behind; deletes nothing that is not published."""

from __future__ import annotations

from replaykit.errors import SessionNotFoundError, StorageError
from replaykit.format.entries import Card
from replaykit.logs import get_logger
from replaykit.protocols import Log, Store
from replaykit.storage.publish import Publisher

__all__ = ["published_card", "recover"]

log = get_logger("storage")


def recover(store: Store) -> int:
    """
    Publish every live log of *store* whose writer is gone, as interrupted; return how many.

    A log that cannot be published stays where it is and is tried again next time.
    """
    recovered = 0
    for live in store.logs():
        if live.has_writer() or not live.claim():
            live.close()
            continue
        recovered += _recover_one(store, live)
    return recovered


def _recover_one(store: Store, live: Log) -> int:
    try:
        card = published_card(store, live)
        if card is None or card.state == "open" or not _covers(card, live):
            Publisher(store, live, card=card).publish(final=True)
        live.remove()
    except StorageError as error:
        log.error("recovery_failed", session=str(live.session_id), error=str(error))
        live.close()
        return 0
    log.info("session_recovered", session=str(live.session_id))
    return 1


def _covers(card: Card, live: Log) -> bool:
    """Whether the parts hold all of this very log: its writer died between publishing and removing it."""
    return card.state != "open" and card.log_through == live.size


def published_card(store: Store, live: Log) -> Card | None:
    """Return the card of a log's session, None if nothing of it is published."""
    try:
        card: Card = store.read(live.session_id).card
    except SessionNotFoundError:
        return None
    return card
