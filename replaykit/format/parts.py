"""Parts to blocks: what is published of a session at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import lt
from typing import Any

import attrs

from replaykit.format.entries import Entry, Gap, Part
from replaykit.format.entry_blocks import MOST_ENTRIES, EncodedEntry, blob_bodies, encode_action, encode_entry_block
from replaykit.format.fields import map_of_gap, map_of_opening, map_of_sealing
from replaykit.format.index import BlockRuns, Place, runs_of
from replaykit.format.merkle import Trees, leaves_of
from replaykit.format.segment import (
    ACTS,
    BLOB,
    CKPT,
    GAP,
    OPEN,
    PART,
    SEAL,
    SegmentWriter,
    SessionIndex,
    map_of_index,
)
from replaykit.format.strict import encode_body, encode_value

__all__ = ["LIVE_BLOCK_BYTES", "encode_part", "gap_bodies", "trees_after"]

LIVE_BLOCK_BYTES = 64 << 10
"""How long the entries of one block are, in what is just being recorded."""

_BLOCK_ACTIONS_PER_KIB = 8
# A call that outlived its part comes alone before those that began after it.
# A block of its own keeps the intervals of blocks nearly disjoint; small
# holes are not worth one.
_MAX_JUMP = 512
_GAP_BYTES = 1 << 20


def encode_part(
    writer: SegmentWriter,
    part: Part,
    *,
    before: SessionIndex | None = None,
    earlier: Place | None = None,
    trees: Trees | None = None,
    block_bytes: int = LIVE_BLOCK_BYTES,
) -> tuple[SessionIndex, Place]:
    """
    Add all blocks of *part*; return the session's index and where the index block is.

    *before* is the session's index so far and *earlier* the place of its
    newest index block, both None for its first part in this segment.  *trees*
    take in the part's entries (see `trees_after`).  The index block of a
    sealing part holds the complete index, that of any other part its own
    piece and the place of the one before.

    Raises:
        UsageError: An entry holds something that no recording can hold.
    """
    session_id = part.opening.session_id.bytes
    piece = SessionIndex(
        session_id=session_id,
        opening=writer.add(OPEN, encode_body(map_of_opening(part.opening))),
        actions=_add_actions(writer, session_id, part.actions, trees, block_bytes),
        checkpoints=_add_checkpoints(writer, session_id, part.checkpoints, trees),
        gaps=_add_gaps(writer, session_id, part.gaps),
        earlier=earlier,
    )
    piece = attrs.evolve(piece, edges=None if trees is None else trees.edges())
    whole = piece if before is None else before.followed_by(piece)
    if part.sealing is None:
        return whole, writer.add(PART, encode_body(map_of_index(piece)))
    whole = attrs.evolve(whole, earlier=None)
    sealing = {**map_of_index(whole), "end": map_of_sealing(part.sealing)}
    if trees is not None:
        sealing["root"] = trees.root()
    return whole, writer.add(SEAL, encode_body(sealing))


def trees_after(index: SessionIndex | None) -> Trees | None:
    """Return the trees that go on behind *index*; None for a session that was begun before there were any."""
    if index is None:
        return Trees()
    return None if index.edges is None else Trees(index.edges)


# -- actions ------------------------------------------------------------------------


def _add_actions(
    writer: SegmentWriter, session_id: bytes, actions: Sequence[Entry], trees: Trees | None, block_bytes: int
) -> list[BlockRuns]:
    blobs = _Blobs(writer, session_id)
    described = []
    for block in _action_blocks(_ascending(actions), block_bytes):
        places = {digest: blobs.add(digest, data) for action in block for digest, data in action.blobs.items()}
        raws = [action.raw for action in block]
        place = writer.add(ACTS, encode_entry_block(session_id, "a", raws, blobs=places))
        described.append(BlockRuns(place, runs_of([action["i"] for action in block])))
        if trees is not None:
            trees.actions.extend(leaves_of(raws))
    return described


class _Blobs:
    """Adds each value once per part, so that a part stands alone."""

    def __init__(self, writer: SegmentWriter, session_id: bytes) -> None:
        self._writer = writer
        self._session_id = session_id
        self._places: dict[bytes, list[Place]] = {}

    def add(self, digest: bytes, data: bytes) -> list[Place]:
        """Return where the value is, after adding it if need be."""
        places = self._places.get(digest)
        if places is None:
            places = [self._writer.add(BLOB, body) for body in blob_bodies(self._session_id, digest, data)]
            self._places[digest] = places
        return places


def _action_blocks(actions: Sequence[EncodedEntry], block_bytes: int) -> Iterator[list[EncodedEntry]]:
    most = min((block_bytes >> 10) * _BLOCK_ACTIONS_PER_KIB, MOST_ENTRIES)
    block: list[EncodedEntry] = []
    size = last = 0
    for action in actions:
        sequence, added = action["i"], len(action.raw)
        if block and (size + added > block_bytes or sequence - last > _MAX_JUMP or len(block) >= most):
            yield block
            block, size = [], 0
        block.append(action)
        size += added
        last = sequence
    if block:
        yield block


def _ascending(actions: Sequence[Entry]) -> Sequence[EncodedEntry]:
    """Return *actions* encoded, by sequence, the later of two equal ones."""
    encoded = [encode_action(action) for action in actions]
    sequences = [action["i"] for action in encoded]
    if all(map(lt, sequences, sequences[1:])):
        return encoded
    newest = {action["i"]: action for action in encoded}
    return [newest[sequence] for sequence in sorted(newest)]


# -- checkpoints and gaps ------------------------------------------------------------


def _add_checkpoints(
    writer: SegmentWriter, session_id: bytes, entries: Sequence[Entry], trees: Trees | None
) -> list[Place]:
    places = []
    bodies: list[bytes] = []
    for entry in entries:
        bodies.append(entry.raw if isinstance(entry, EncodedEntry) else encode_value(dict(entry)))
        if trees is not None:
            trees.checkpoints.add(bodies[-1])
        if sum(map(len, bodies)) > LIVE_BLOCK_BYTES:
            places.append(writer.add(CKPT, encode_entry_block(session_id, "c", bodies)))
            bodies = []
    if bodies:
        places.append(writer.add(CKPT, encode_entry_block(session_id, "c", bodies)))
    return places


def _add_gaps(writer: SegmentWriter, session_id: bytes, gaps: Sequence[Gap]) -> list[Place]:
    return [writer.add(GAP, encode_body(body)) for gap in gaps for body in gap_bodies(session_id, gap)]


def gap_bodies(session_id: bytes | None, gap: Gap) -> Iterator[dict[str, Any]]:
    """Yield *gap* as bodies of GAP blocks, cut to pieces of 1 MiB."""
    for start in range(0, max(len(gap.data), 1), _GAP_BYTES):
        piece = attrs.evolve(gap, offset=gap.offset + start, data=gap.data[start : start + _GAP_BYTES])
        yield map_of_gap(piece, session_id)
