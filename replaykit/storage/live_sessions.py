"""What live logs say of sessions that are open, or were when their process ended."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from replaykit.errors import StorageError
from replaykit.format.entries import Card, Entry, Gap, Opening
from replaykit.protocols import Log, StoredSession
from replaykit.storage.gathering import collect, unfinished_entries
from replaykit.storage.live_log import LogReader
from replaykit.storage.recovery import is_published

__all__ = ["LiveSession", "live_session"]


@attrs.frozen
class LiveSession:
    """What a live log says beyond what is published of its session."""

    card: Card
    opening: Opening
    entries: tuple[Entry, ...]
    checkpoints: tuple[Entry, ...]


def live_session(log: Log, stored: StoredSession | None) -> LiveSession | None:
    """Return what *log* adds to what is *stored* of its session; None where nothing, or it is gone by now."""
    try:
        if stored is not None and is_published(stored, log):
            return None
        return _read_live(log, None if stored is None else stored.card)
    except (FileNotFoundError, StorageError):
        # Published and removed since the directory was read.
        return None


def _read_live(log: Log, card: Card | None) -> LiveSession | None:
    reader = LogReader(log)
    keep_from = card.log_through if card is not None and card.state == "open" else 0
    entries, checkpoints, gaps, _ = collect(reader, keep_from=keep_from, limited=False)
    if reader.opening is None:
        return None
    is_open = reader.sealing is None and log.has_writer()
    if reader.sealing is None and not is_open:
        entries = sorted([*entries, *unfinished_entries(reader)], key=lambda entry: entry["i"])
    live = _live_card(reader, card, entries, checkpoints, gaps, is_open=is_open)
    return LiveSession(live, reader.opening, tuple(entries), tuple(checkpoints))


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
