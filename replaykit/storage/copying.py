"""Stored sessions as parts again, byte for byte: how sessions move from one store to another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from replaykit.format.entries import Card, Gap, Part, Sealing
from replaykit.format.entry_blocks import EncodedEntry, EntryBlock, blob_references
from replaykit.format.segment import ACTS, CKPT
from replaykit.format.soundness import demand_sound_action
from replaykit.format.strict import decode_body
from replaykit.storage.gathering import MAX_PART_ACTIONS, MAX_PART_BYTES
from replaykit.storage.stored_session import Piece, SegmentSession

__all__ = ["ending_of", "parts_of", "whole_gaps"]


def parts_of(session: SegmentSession) -> Iterator[Part]:
    """
    Yield *session* as parts whose entries keep their bytes and their order, so that its root stays.

    An open session ends without a sealing, as it stands.

    Raises:
        DamagedError: A block of it is not as it was written.
    """
    card = session.card
    part = Part(number=0, opening=session.opening, log_through=card.log_through)
    batches = _batches(session)
    batch = next(batches, [])
    for following in batches:
        yield attrs.evolve(part, actions=batch)
        part, batch = attrs.evolve(part, number=part.number + 1), following
    yield attrs.evolve(
        part,
        actions=batch,
        checkpoints=list(_checkpoints(session)),
        gaps=whole_gaps(session.gaps),
        sealing=ending_of(card),
    )


def ending_of(card: Card) -> Sealing | None:
    """Return how the session of *card* ended; None for an open one."""
    if card.state == "open":
        return None
    return Sealing(
        state=card.state,
        ended_ns=card.ended_ns or 0,
        ended_by=card.ended_by,
        duration_ns=card.duration_ns,
        lost=card.lost,
        late=card.late,
        metadata=card.metadata,
    )


def _batches(session: SegmentSession) -> Iterator[list[EncodedEntry]]:
    """Yield the actions in order of publishing, cut where sequences do not ascend or a part is full."""
    batch: list[EncodedEntry] = []
    size = 0
    for action in _actions(session.pieces):
        descends = bool(batch) and action["i"] <= batch[-1]["i"]
        if descends or len(batch) >= MAX_PART_ACTIONS or size >= MAX_PART_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(action)
        size += len(action.raw) + sum(map(len, action.blobs.values()))
    if batch:
        yield batch


def _actions(pieces: Sequence[Piece]) -> Iterator[EncodedEntry]:
    for piece in pieces:
        for described in piece.index.actions:
            block = piece.entries(described.place, ACTS)
            for position in range(len(block)):
                yield _encoded(piece, block, position)


def _encoded(piece: Piece, block: EntryBlock, position: int) -> EncodedEntry:
    entry = block.entry(position)
    demand_sound_action(entry)
    blobs = {digest: piece.blob(digest, block) for digest in blob_references(entry).values()}
    return EncodedEntry({"i": entry["i"], "k": entry["k"]}, block.raws[position], blobs)


def _checkpoints(session: SegmentSession) -> Iterator[EncodedEntry]:
    for piece in session.pieces:
        for place in piece.index.checkpoints:
            block = piece.entries(place, CKPT)
            for raw in block.raws:
                entry: Mapping[str, Any] = decode_body(raw, path=block.path, offset=block.offset)
                yield EncodedEntry({"c": entry.get("c")}, raw, {})


def whole_gaps(gaps: Sequence[Gap]) -> list[Gap]:
    """Return *gaps* with pieces of one gap joined, as they were before they were cut for their blocks."""
    joined: list[Gap] = []
    for gap in gaps:
        last = joined[-1] if joined else None
        if last is not None and last.reason == gap.reason and last.offset + len(last.data) == gap.offset:
            joined[-1] = attrs.evolve(last, data=last.data + gap.data)
        else:
            joined.append(gap)
    return joined
