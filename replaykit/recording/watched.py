"""An open or ended session on its way into the store: how much of it is published, and its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from replaykit.format.entries import Card
from replaykit.protocols import Store
from replaykit.storage.gathering import MAX_PART_ACTIONS, MAX_PART_BYTES
from replaykit.storage.pausing import Pause
from replaykit.storage.publish import Publisher

if TYPE_CHECKING:
    from replaykit.recording.session import ActiveSession

__all__ = ["Watched"]

_SETTLE_SECONDS = 1.0
_NAP_SECONDS = 0.001


class Watched:
    """An open session and how much of it is published."""

    def __init__(self, session: ActiveSession, store: Store, card: Card | None, pause: Pause) -> None:
        self.session = session
        self.publisher = Publisher(store, session.live, card=card, pause=pause)
        self.synced = 0
        self.retry_from = 0.0
        self.is_published = False
        self.counts = (0, 0)
        """What is published of the calls that were lost and late."""

    @property
    def has_grown(self) -> bool:
        """Whether what is logged and not published makes a part."""
        waiting = self.session.live.size - self.publisher.offset
        calls = self.session.calls_begun - self.session.lost - self.publisher.action_count
        return waiting >= MAX_PART_BYTES or (waiting > 0 and calls > MAX_PART_ACTIONS)

    def publish_end(self) -> bool:
        """
        Publish all of an ended session and drop its log; False while a call is still being logged.

        Raises:
            StorageError, OSError: The store refuses; the log stays.
        """
        session = self.session
        if not _settled(session):
            return False
        # Once only: a log that cannot be removed is no reason to seal again.
        if not self.is_published:
            self.publisher.publish(final=True, fallback=session.sealing)
            self.is_published = True
            sealing = session.sealing
            published = (sealing.lost, sealing.late) if sealing is not None else (0, 0)
            self.counts = (published[0] + self.publisher.unreadable, published[1])
            if self.publisher.unreadable:
                session.note_unreadable(self.publisher.unreadable)
        session.live.remove()
        return True

    def publish_counts(self) -> None:
        """
        Publish what was lost or came late since the end.

        Raises:
            StorageError, OSError: The store refuses.
        """
        session = self.session
        counts = (session.lost, session.late)
        if counts == self.counts or session.sealing is None:
            return
        sealing = attrs.evolve(session.sealing, lost=session.lost, late=session.late)
        self.publisher.publish_sealing(session.opening, sealing)
        self.counts = counts


def _settled(session: ActiveSession) -> bool:
    """Wait a moment for calls that were being logged when *session* ended; return whether its log is complete."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while session.pending or session.finishing:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_NAP_SECONDS)
    return True
