"""What a store holds, published or still in a live log: listing, looking up, reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from replaykit.errors import SessionNotFoundError, UsageError
from replaykit.format.actions import checkpoint_from_entry
from replaykit.format.bulk import make_many
from replaykit.format.entries import Card, Entry
from replaykit.format.thaw import thaw
from replaykit.model import (
    ACCOUNT,
    MEMVID,
    Checkpoint,
    FrameId,
    Playable,
    ReplaySession,
    SessionSummary,
    playable_import,
)
from replaykit.protocols import ForeignSession, Log, Store, StoredSession
from replaykit.storage.action_sequence import ActionSequence
from replaykit.storage.finding import Which, chosen, metadata_test, seconds, spellings, uuid_of
from replaykit.storage.live_sessions import LiveSession, live_session
from replaykit.storage.recovery import recover_session

__all__ = ["Catalogue", "summaries_of"]

FrameReader = Callable[[int], Sequence[FrameId]]
"""Returns the live frames of a memory at a generation: how ``frame_ids`` of a checkpoint are read when looked at."""


class Catalogue:
    """
    The sessions of one store.

    *settle* is called before anything is read: it returns when ended
    sessions of this process are published.  *frames_at* reads frame ids of
    checkpoints that do not carry them.  Without *has_logs* nobody records
    into the store, and no live log is looked for.
    """

    def __init__(
        self,
        store: Store,
        *,
        settle: Callable[[], None] = lambda: None,
        frames_at: FrameReader | None = None,
        has_logs: bool = True,
    ) -> None:
        self._store = store
        self._settle = settle
        self._frames_at = frames_at
        self._logs = store.logs if has_logs else tuple

    def cards(self) -> list[Card]:
        """Return one card per session: ended ones in order of ending, then open ones."""
        self._settle()
        # Logs first: what is published and removed from now on is in the cards.
        logs = self._logs()
        cards = self._store.cards()
        if logs:
            cards = self._with_logs(cards, logs)
        ended = [card for card in cards if card.state != "open"]
        return _by_ending(ended) + [card for card in cards if card.state == "open"]

    def _with_logs(self, cards: Sequence[Card], logs: Sequence[Log]) -> Sequence[Card]:
        """Return *cards* with what *logs* add to them."""
        found = {card.session_id: card for card in cards}
        told = []
        for log in logs:
            stored, live = self._both(log.session_id, log)
            card = live.card if live is not None else stored.card if stored is not None else None
            if card is not None and card != found.get(log.session_id):
                told.append(card)
        # Taken out and put back: what ends later stands later.  Logs come in
        # no order of their own, and several may have ended and wait.
        for card in sorted(told, key=_ending):
            found.pop(card.session_id, None)
            found[card.session_id] = card
        return list(found.values())

    def list_sessions(
        self,
        *,
        name: str | None = None,
        state: str | None = None,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        where: Callable[[Mapping[str, Any]], bool] | Mapping[str, Any] | None = None,
    ) -> list[SessionSummary]:
        """
        Return the sessions that match all that is given.

        *since* and *until* bound the time of creation (a datetime, or seconds
        since 1970); *where* is a dict of metadata that must be equal, or a
        callable on the metadata.
        """
        if state not in (None, "open", "sealed", "interrupted"):
            raise UsageError(f"unknown state {state!r}: give open, sealed or interrupted")
        if all(asked is None for asked in (name, state, since, until, where)):
            return summaries_of(self.cards())
        matches = metadata_test(where)
        names = spellings(name)
        earliest, latest = seconds(since), seconds(until)
        return summaries_of(
            [
                card
                for card in self.cards()
                if (name is None or card.name in names)
                and (state is None or card.state == state)
                and (earliest is None or card.created_ns / 1e9 >= earliest)
                and (latest is None or card.created_ns / 1e9 <= latest)
                and (matches is None or matches(card))
            ]
        )

    def resolve(self, which: Which, *, unique: bool = False) -> UUID:
        """
        Return the id of the session that *which* names.

        Raises:
            SessionNotFoundError: None does.
            AmbiguousSessionError: An id prefix fits several; with *unique* also a name.
        """
        if isinstance(which, UUID):
            return which
        if isinstance(which, (SessionSummary, ReplaySession)):
            return which.session_id
        if not isinstance(which, str):
            raise UsageError(f"a session is a UUID, a text, a summary or a session, not {type(which).__name__}")
        exact = uuid_of(which)
        return exact if exact is not None else chosen(which, self.cards(), unique=unique)

    def get_session(self, which: Which) -> ReplaySession:
        """
        Return one session; its actions are read when they are looked at.

        Raises:
            SessionNotFoundError, AmbiguousSessionError: As for `resolve`.
        """
        session_id = self.resolve(which)
        self._settle()
        # Logs first: what is published and removed from now on is in the store.
        log = next((log for log in self._logs() if log.session_id == session_id), None)
        stored, live = self._both(session_id, log)
        if stored is None and live is None:
            raise SessionNotFoundError(which if not isinstance(which, (SessionSummary, ReplaySession)) else session_id)
        if hasattr(stored, "original"):
            # Not isinstance: to ask that of a protocol takes a tenth of all this.
            return cast(ForeignSession, stored).original
        return self._session(stored, live)

    def delete_session(self, which: Which, *, erase: bool = False) -> None:
        """
        Delete one ended session; the other sessions are untouched.

        With *erase* no byte of it stays in the store's files; a session that
        was deleted before is erased when its whole id is given.

        Raises:
            SessionNotFoundError: It is not there, or still open.
            AmbiguousSessionError: Several sessions have this name.
            LockedError: *erase*, and another process writes to a file that holds some of it.
            StorageError: Its process is gone, and what that left is being published by another.
        """
        session_id = self.resolve(which, unique=True)
        self._settle()
        if not recover_session(self._store, session_id):
            raise SessionNotFoundError(session_id, "It is still open: end it first")
        if erase:
            self._store.erase(session_id)
        else:
            self._store.delete(session_id)

    def _stored(self, session_id: UUID) -> StoredSession | None:
        try:
            return self._store.read(session_id)
        except SessionNotFoundError:
            return None

    def _both(self, session_id: UUID, log: Log | None) -> tuple[StoredSession | None, LiveSession | None]:
        """Return what is published of a session and what its *log* adds to that, None each if nothing."""
        stored = self._stored(session_id)
        if log is None:
            return stored, None
        live = live_session(log, stored)
        if live is None and (stored is None or stored.card.state == "open"):
            # It was published and removed while we looked.
            stored = self._stored(session_id)
        return stored, live

    def _session(self, stored: StoredSession | None, live: LiveSession | None) -> ReplaySession:
        card = live.card if live is not None else stored.card  # type: ignore[union-attr]  # one of both is there
        checkpoints = [*(stored.checkpoints if stored else ()), *(live.checkpoints if live else ())]
        opening = live.opening if stored is None else stored.opening  # type: ignore[union-attr]  # one of both is there
        capture = opening.capture
        return ReplaySession(
            session_id=card.session_id,
            name=card.name,
            created_ns=card.created_ns,
            ended_ns=card.ended_ns,
            actions=ActionSequence(stored, live.entries if live else ()),
            checkpoints=[self._checkpoint(entry, card.session_id) for entry in checkpoints],
            metadata=thaw(dict(card.metadata)),
            state=card.state,  # type: ignore[arg-type]  # written by us as one of the three
            ended_by=card.ended_by,
            lost=card.lost,
            late=card.late,
            gaps=card.gaps,
            parent_session=card.parent_session,
            start_generation=card.start_generation,
            memory_id=opening.memory_id,
            capture=capture,
            redaction=card.redaction,
            playable=_playable(card, capture),
        )

    def _checkpoint(self, entry: Entry, session_id: UUID) -> Checkpoint:
        return checkpoint_from_entry(entry, session_id, self._frames_at)


def _ending(card: Card) -> tuple[bool, int]:
    return card.ended_ns is None, card.ended_ns or 0


def _by_ending(cards: Sequence[Card]) -> list[Card]:
    """
    Return ended cards, given in order of publishing, in order of ending.

    That is the same order, whatever the clock did, but for a session that was
    recovered, or published again to say what was lost or late: those go where
    their time of ending puts them.
    """
    if not any(card.state == "interrupted" or card.lost or card.late for card in cards):
        return list(cards)
    latest, keyed = 0, []
    for card in cards:
        # One that never says when it ended stays where it is.
        ended = latest if card.ended_ns is None else card.ended_ns
        if card.state == "interrupted" or card.lost or card.late:
            keyed.append((ended, card))
            continue
        latest = max(latest, ended)
        keyed.append((latest, card))
    return [card for _, card in sorted(keyed, key=lambda each: each[0])]


def _playable(card: Card, capture: str) -> Playable:
    if capture == MEMVID:
        return playable_import()
    if capture != "full":
        return Playable("no", (f"recorded with capture={capture!r}: arguments and results were not kept",))
    reasons = []
    if card.lost:
        reasons.append(f"{card.lost} action(s) were lost")
    if card.gaps:
        reasons.append(f"records of its log are damaged at {card.gaps} place(s)")
    account = card.metadata.get(ACCOUNT)
    for name in ("dropped", "excluded"):
        count = account.get(name) if isinstance(account, Mapping) else None
        if type(count) is int and count:
            reasons.append(f"{count} call(s) were {name} by choice")
    if card.state == "interrupted":
        reasons.append("interrupted: calls that were running are unfinished or missing")
    if card.state == "open":
        reasons.append("still open")
    return Playable("partly" if reasons else "yes", tuple(reasons))


def summaries_of(cards: Sequence[Card]) -> list[SessionSummary]:
    """Return the summaries of *cards*."""
    return make_many(
        SessionSummary,
        len(cards),
        session_id=[card.session_id for card in cards],
        name=[card.name for card in cards],
        created_secs=[card.created_ns // 1_000_000_000 for card in cards],
        ended_secs=[None if card.ended_ns is None else card.ended_ns // 1_000_000_000 for card in cards],
        action_count=[card.action_count for card in cards],
        checkpoint_count=[card.checkpoint_count for card in cards],
        duration_secs=[card.duration_ns // 1_000_000_000 for card in cards],
        state=[card.state for card in cards],
        lost=[card.lost for card in cards],
        gaps=[card.gaps for card in cards],
    )
