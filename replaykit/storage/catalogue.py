"""What a store holds, published or still in a live log: listing, looking up, reading."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import repeat
from typing import Any, cast, overload
from uuid import UUID

import attrs

from replaykit.digests import completed
from replaykit.errors import AmbiguousSessionError, SessionNotFoundError, StorageError, UsageError
from replaykit.format.actions import action_from_entry, checkpoint_from_entry
from replaykit.format.asked import Asked, asked_by
from replaykit.format.bulk import make_many
from replaykit.format.entries import Card, Entry, Gap, Opening
from replaykit.format.index import Sequences
from replaykit.format.names import safe_name
from replaykit.format.thaw import thaw
from replaykit.model import (
    ACCOUNT,
    MEMVID,
    Checkpoint,
    FrameId,
    Playable,
    ReplayAction,
    ReplaySession,
    SessionSummary,
    playable_import,
)
from replaykit.protocols import ForeignSession, Log, Store, StoredSession
from replaykit.storage.gathering import collect, unfinished_entries
from replaykit.storage.live_log import LogReader
from replaykit.storage.recovery import is_published, recover_session

__all__ = ["Catalogue", "Which"]

Which = UUID | str | SessionSummary | ReplaySession
"""A session: its id or text of it, a prefix of 4 or more hex digits, a name, ``"last"``, a summary or a session."""

FrameReader = Callable[[int], Sequence[FrameId]]
"""Returns the live frames of a memory at a generation: how ``frame_ids`` of a checkpoint are read when looked at."""


@attrs.frozen
class _Live:
    """What a live log says beyond what is published of its session."""

    card: Card
    opening: Opening
    entries: tuple[Entry, ...]
    checkpoints: tuple[Entry, ...]


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
        matches = _metadata_test(where)
        names = _spellings(name)
        earliest, latest = _seconds(since), _seconds(until)
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
        exact = _uuid_of(which)
        return exact if exact is not None else _chosen(which, self.cards(), unique=unique)

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

    def _both(self, session_id: UUID, log: Log | None) -> tuple[StoredSession | None, _Live | None]:
        """Return what is published of a session and what its *log* adds to that, None each if nothing."""
        stored = self._stored(session_id)
        if log is None:
            return stored, None
        live = _live(log, stored)
        if live is None and (stored is None or stored.card.state == "open"):
            # It was published and removed while we looked.
            stored = self._stored(session_id)
        return stored, live

    def _session(self, stored: StoredSession | None, live: _Live | None) -> ReplaySession:
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


def _live(log: Log, stored: StoredSession | None) -> _Live | None:
    try:
        if stored is not None and is_published(stored, log):
            return None
        return _read_live(log, None if stored is None else stored.card)
    except (FileNotFoundError, StorageError):
        # Published and removed since the directory was read.
        return None


def _read_live(log: Log, card: Card | None) -> _Live | None:
    reader = LogReader(log)
    keep_from = card.log_through if card is not None and card.state == "open" else 0
    entries, checkpoints, gaps, _ = collect(reader, keep_from=keep_from, limited=False)
    if reader.opening is None:
        return None
    is_open = reader.sealing is None and log.has_writer()
    if reader.sealing is None and not is_open:
        entries = sorted([*entries, *unfinished_entries(reader)], key=lambda entry: entry["i"])
    live = _live_card(reader, card, entries, checkpoints, gaps, is_open=is_open)
    return _Live(live, reader.opening, tuple(entries), tuple(checkpoints))


def _live_card(
    reader: LogReader,
    card: Card | None,
    entries: Sequence[Entry],
    checkpoints: Sequence[Entry],
    gaps: Sequence[Gap],
    *,
    is_open: bool,
) -> Card:
    opening, sealing = reader.opening, reader.sealing
    assert opening is not None  # the caller has checked
    ended_ns = sealing.ended_ns if sealing else None if is_open else reader.last_ns
    state = sealing.state if sealing else "open" if is_open else "interrupted"
    known = card.action_count if card else 0
    return Card(
        session_id=opening.session_id,
        name=opening.name,
        created_ns=card.created_ns if card else opening.created_ns,
        ended_ns=ended_ns,
        state=state,
        action_count=known + len(entries),
        checkpoint_count=(card.checkpoint_count if card else 0) + len(checkpoints),
        duration_ns=sealing.duration_ns if sealing else max(0, reader.last_ns - opening.created_ns),
        ended_by=sealing.ended_by if sealing else "" if is_open else "interrupted",
        lost=sealing.lost if sealing else 0,
        late=sealing.late if sealing else 0,
        gaps=(card.gaps if card else 0) + sum(gap.is_loss for gap in gaps),
        metadata=dict(reader.metadata),
        parent_session=opening.parent_session,
        start_generation=opening.start_generation,
        capture=opening.capture,
        redaction=opening.redaction,
    )


# -- looking up ---------------------------------------------------------------

_HEX_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{3,35}")


def _uuid_of(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _chosen(which: str, cards: Sequence[Card], *, unique: bool) -> UUID:
    if which == "last":
        if not cards:
            raise SessionNotFoundError(which, "The store is empty")
        ended = [card for card in cards if card.state != "open"]
        return (ended or list(cards))[-1].session_id
    names = _spellings(which)
    named = [card.session_id for card in cards if card.name in names]
    if len(named) > 1 and unique:
        raise AmbiguousSessionError(which, named)
    if named:
        return named[-1]
    prefix = which.lower().replace("-", "")
    fits = [card.session_id for card in cards if card.session_id.hex.startswith(prefix)]
    if not _HEX_PREFIX.fullmatch(which.lower()) or not fits:
        raise SessionNotFoundError(which)
    if len(fits) > 1:
        raise AmbiguousSessionError(which, fits)
    return fits[0]


def _spellings(name: str | None) -> tuple[str, ...]:
    """Return *name* as it may be stored: as it was given (by an earlier release), and as names are kept now."""
    return () if name is None else (name, safe_name(name))


def _metadata_test(where: Any) -> Callable[[Card], bool] | None:
    # Metadata are thawed only where somebody looks at them: a listing has
    # thousands of cards.
    if where is None:
        return None
    if callable(where):
        return lambda card: bool(where(thaw(dict(card.metadata))))
    if isinstance(where, Mapping):
        wanted = dict(where)
        return lambda card: {**thaw(dict(card.metadata)), **wanted} == thaw(dict(card.metadata))
    raise UsageError(f"where= is a dict or a callable, not {type(where).__name__}")


def _seconds(moment: datetime | float | None) -> float | None:
    return moment.timestamp() if isinstance(moment, datetime) else moment


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


# -- actions ------------------------------------------------------------------

_MOST_HELD = 128
"""So many actions that were looked at one by one are held decoded."""


class ActionSequence(Sequence[ReplayAction]):
    """The actions of a session in order of sequence; each is read when it is looked at."""

    def __init__(self, stored: StoredSession | None, live: Sequence[Entry]) -> None:
        self._stored = stored
        self._live = {entry["i"]: entry for entry in live}
        published = stored.sequences if stored is not None else ()
        self._sequences: Sequence[int] = published
        if isinstance(published, Sequences):
            # Kept as runs: what an index claims may be longer than time.
            self._sequences = published.united_with(self._live)
        elif self._live:
            self._sequences = sorted({*published, *self._live})
        self._read = lru_cache(maxsize=_MOST_HELD)(self._read_one)

    @property
    def sequences(self) -> Sequence[int]:
        """The sequences of the actions, ascending; nothing is read for it."""
        return self._sequences

    def _read_one(self, sequence: int) -> ReplayAction:
        return action_from_entry(completed(self._entry(sequence)))

    def _entry(self, sequence: int) -> Entry:
        entry = self._live.get(sequence)
        if entry is not None:
            return entry
        assert self._stored is not None  # a sequence comes from one of both
        return self._stored.action(sequence)

    def entry(self, index: int) -> Entry:
        """Return an action as it is stored, without what follows from the rest: cheaper than the action."""
        return self._entry(self._sequences[index])

    def asked(self) -> Iterator[Asked]:
        """Yield what the calls asked, in order: much cheaper than the actions."""
        if self._stored is None or self._live:
            yield from (asked_by(self._entry(sequence)) for sequence in self._sequences)
        else:
            yield from self._stored.asked()

    def likenesses(self) -> Iterator[bytes | None]:
        """Yield for each action 16 bytes that agree only where actions hold the same; None where that is not told."""
        if self._stored is None or self._live:
            return repeat(None, len(self))
        return self._stored.likenesses()

    @overload
    def __getitem__(self, index: int) -> ReplayAction: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ReplayAction]: ...
    def __getitem__(self, index: int | slice) -> ReplayAction | Sequence[ReplayAction]:
        if isinstance(index, slice):
            positions = range(*index.indices(len(self._sequences)))
            return [self._read(self._sequences[position]) for position in positions]
        return self._read(self._sequences[index])

    def __len__(self) -> int:
        return len(self._sequences)

    def __iter__(self) -> Iterator[ReplayAction]:
        if self._stored is None or self._live:
            yield from (self._read(sequence) for sequence in self._sequences)
            return
        for entry in self._stored.actions():
            yield action_from_entry(completed(entry))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, (str, bytes)):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # like a list: compared by content

    def __repr__(self) -> str:
        return f"<{len(self)} actions>"
