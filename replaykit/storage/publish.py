"""
From a live log to published parts: the one way from the private format to the public one.

A plain function: the background of a recorder calls it early and at a
session's end, a recovery calls it on a log whose writer is gone.
"""

from __future__ import annotations

import attrs

from replaykit.format.entries import Card, Opening, Part, Sealing
from replaykit.protocols import Log, Store
from replaykit.storage.gathering import ENCODED, collect, unfinished_entries
from replaykit.storage.live_log import LogReader, is_unreadable
from replaykit.storage.pausing import Pause, no_pause

__all__ = ["Publisher"]


class Publisher:
    """
    Publishes one session's log, part by part.

    *card* is what is published of the session already (after a restart, or
    for a session that goes on): its parts and the bytes of the log that they
    cover.  *pause* is called between slices of work.
    """

    def __init__(self, store: Store, log: Log, *, card: Card | None = None, pause: Pause = no_pause) -> None:
        self._store = store
        self._reader = LogReader(log)
        self._log = log
        self._pause = pause
        self._number = 0 if card is None else card.parts
        self.action_count = 0
        """How many actions this object has published."""
        self.unreadable = 0
        """How many records, whole ones, it has published as gaps since they make no sense."""
        # A resumed session has a log of its own: nothing of it is published.
        self._published = card.log_through if card is not None and card.state == "open" else 0

    @property
    def offset(self) -> int:
        """Bytes of the log that are published."""
        return self._published

    def publish(self, *, final: bool, fallback: Sealing | None = None) -> bool:
        """
        Publish what the log holds beyond what is published; return whether the session is sealed now.

        With *final* the last part is sealed with what the END record says,
        or else as ``interrupted`` at the time of the last record.  Without it
        one part is published and no more, since an agent may log faster than
        this publishes.

        Raises:
            StorageError: The store refuses; the log stays as it is.
        """
        try:
            return self._publish_parts(final, fallback)
        except BaseException:
            # What was read for this part must be read again by the next attempt.
            self._reader = LogReader(self._log)
            raise

    def _publish_parts(self, final: bool, fallback: Sealing | None) -> bool:
        while True:
            part, is_last = _next_part(self._reader, self._number, self._published, self._pause, is_complete=final)
            if part is None:
                return False
            if final and is_last:
                part = _sealed(part, self._reader, fallback, lost=self.unreadable + _unreadable_in(part))
            if not final and not (part.actions or part.checkpoints or part.gaps):
                return False
            self._pause()
            self._publish(part)
            if is_last or not final:
                return final

    def _publish(self, part: Part) -> None:
        self._store.publish(part)
        self._number += 1
        self._published = part.log_through
        self.action_count += len(part.actions)
        self.unreadable += _unreadable_in(part)

    def publish_sealing(self, opening: Opening, sealing: Sealing) -> None:
        """Publish a new sealing of a session that is published: its counts have changed."""
        self._store.publish(Part(number=self._number, opening=opening, sealing=sealing, log_through=self.offset))
        self._number += 1


def _next_part(
    reader: LogReader, number: int, keep_from: int, pause: Pause, *, is_complete: bool
) -> tuple[Part | None, bool]:
    actions, checkpoints, gaps, is_last = collect(
        reader, form=ENCODED, keep_from=keep_from, pause=pause, is_complete=is_complete
    )
    if reader.opening is None:
        # Nothing was ever written: there is no session here.
        return None, True
    part = Part(
        number=number,
        opening=attrs.evolve(reader.opening, metadata=dict(reader.metadata)),
        actions=actions,
        checkpoints=checkpoints,
        gaps=gaps,
        log_through=reader.offset,
    )
    return part, is_last


def _unreadable_in(part: Part) -> int:
    return sum(map(is_unreadable, part.gaps))


def _sealed(part: Part, reader: LogReader, fallback: Sealing | None, *, lost: int) -> Part:
    """Return *part* with the end of its session, which has *lost* so many actions besides those that it knows of."""
    sealing = reader.sealing or fallback
    unfinished = unfinished_entries(reader, form=ENCODED)
    if unfinished:
        known = {entry["i"] for entry in part.actions}
        added = [entry for entry in unfinished if entry["i"] not in known]
        part = attrs.evolve(part, actions=sorted([*part.actions, *added], key=lambda entry: entry["i"]))
    if sealing is None:
        sealing = Sealing(
            state="interrupted",
            ended_ns=reader.last_ns,
            ended_by="interrupted",
            duration_ns=max(0, reader.last_ns - part.opening.created_ns),
        )
    metadata = {**reader.metadata, **sealing.metadata}
    return attrs.evolve(part, sealing=attrs.evolve(sealing, lost=sealing.lost + lost, metadata=metadata))
