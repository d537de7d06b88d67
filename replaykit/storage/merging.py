"""Several files as one store: which of them hold a session, and what its card says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import attrs

from replaykit.format.catalog import Record
from replaykit.format.entries import Card
from replaykit.storage.stored_session import Piece, SegmentSession

__all__ = ["Found", "card_of_pieces", "merged"]


class Found(NamedTuple):
    """A session's newest record in one file; those of all files sort as they were published."""

    published_ns: int
    path: str
    number: int
    record: Record

    @property
    def card(self) -> Card:
        """The session's card in this file; only where it is not deleted."""
        assert self.record.card is not None
        return self.record.card


def merged(listed: Iterable[tuple[str, Sequence[Record]]]) -> dict[bytes, list[Found]]:
    """Return, for each session that is not deleted, its records in order; a deletion hides all before it."""
    found: dict[bytes, list[Found]] = {}
    for path, records in listed:
        for record in records:
            number, session_id, published_ns, _, _ = record
            found.setdefault(session_id, []).append(Found(published_ns, path, number, record))
    return {session_id: alive for session_id, everywhere in found.items() if (alive := _alive(everywhere))}


def _alive(everywhere: list[Found]) -> list[Found]:
    if len(everywhere) == 1:
        return everywhere if everywhere[0].record.card is not None else []
    everywhere.sort()
    since = max((at + 1 for at, each in enumerate(everywhere) if each.record.card is None), default=0)
    return everywhere[since:]


def card_of_pieces(found: Sequence[Found], pieces: Sequence[Piece]) -> Card:
    """Return the card of a session that is spread over *pieces*, one per file."""
    cards = [each.card for each in found]
    newest = cards[-1]
    if len(found) == 1:
        return newest
    kinds: Counter[str] = Counter()
    for at, (card, piece) in enumerate(zip(cards, pieces, strict=True)):
        kinds.update(card.by_kind)
        earlier = SegmentSession(card, pieces[:at])
        kinds.subtract(Counter(action["k"] for action in earlier.shared_with(piece)))
    whole = SegmentSession(newest, pieces)
    return attrs.evolve(
        newest,
        action_count=len(whole.sequences),
        checkpoint_count=len(whole.checkpoints),
        gaps=sum(card.gaps for card in cards),
        parts=sum(card.parts for card in cards),
        by_kind={kind: count for kind, count in sorted(kinds.items()) if count > 0},
    )
