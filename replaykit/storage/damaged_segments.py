"""
Surveys a damaged segment: which blocks are whole, and what they hold of which session.

No catalog, index or tail is relied on; where one is whole it only says what
should be there besides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress

import attrs

from replaykit.errors import DamagedError, NotAStoreError
from replaykit.format.block import BLOCK_START, MAGIC, Block, block_claims
from replaykit.format.catalog import Record, catalog_of
from replaykit.format.entries import Opening, Sealing
from replaykit.format.entry_blocks import EntryBlock, decode_entry_block
from replaykit.format.fields import Fields, opening_of, sealing_of
from replaykit.format.index import BlockRuns, Place, SequenceMap, runs_of
from replaykit.format.segment import (
    ACTS,
    BLOB,
    CATALOG,
    CKPT,
    GAP,
    OPEN,
    PART,
    SEAL,
    TOMB,
    Head,
    SessionIndex,
    body_of,
    read_head,
)
from replaykit.format.soundness import demand_sound_action, demand_sound_checkpoint
from replaykit.format.strict import decode_body
from replaykit.storage.segment_file import Damage, ReadableBytes, SegmentFile
from replaykit.storage.stored_session import Piece, read_index

__all__ = ["Found", "Survey", "surveyed"]

_HEAD_BYTES = 64 << 10
_WINDOW = 1 << 20
_VOTES_PER_KIB = 20
_CANDIDATE = re.compile(re.escape(BLOCK_START))


@attrs.frozen(kw_only=True)
class Found:
    """
    What is whole of one session in one segment.

    Attributes:
        piece: Its blocks; the opening's place is only right where ``opening`` is there.
        opening: How it began; None where that block is damaged.
        sealing: How it ended; None where that is not known.
        record: The newest commit of it that can be read.
        expected: The index as it was published, where that can be read.
        missing: How many actions should be there and are not.
        is_whole: Everything that was published is there.
    """

    piece: Piece
    opening: Opening | None
    sealing: Sealing | None
    record: Record | None
    expected: SessionIndex | None
    missing: int
    is_whole: bool


@attrs.frozen
class Survey:
    """A segment, its damage, and what is whole of its sessions, in the order in which they begin."""

    segment: SegmentFile
    damage: Sequence[Damage]
    sessions: Mapping[bytes, Found]


def surveyed(source: ReadableBytes) -> Survey:
    """
    Read all of *source*, in time and memory that grow with its size.

    Raises:
        NotAStoreError: There is no block in it.
        UnsupportedVersionError: A newer release wrote it.
    """
    damage: list[Damage] = []
    segment = SegmentFile(source, head=_head_of(source, damage))
    gathering = _Gathering(segment)
    for item in segment.survey(segment.head.end, segment.size()):
        if isinstance(item, Damage):
            damage.append(item)
            continue
        try:
            gathering.take(item)
        except DamagedError as error:
            damage.append(Damage(item.offset, item.end, error.reason))
    return Survey(segment, damage, gathering.found())


# -- a head that cannot be read -------------------------------------------------------


def _head_of(source: ReadableBytes, damage: list[Damage]) -> Head:
    try:
        return read_head(source.read(0, _HEAD_BYTES), path=source.path)
    except (DamagedError, NotAStoreError) as error:
        sync = _sync_by_vote(source)
        if sync is None:
            raise NotAStoreError(source.path, "there is no block of a recording in it") from error
        damage.append(Damage(0, len(MAGIC), f"the head cannot be read: {error}"))
        return Head(sync=sync, file_id=bytes(16), created_ns=0, end=len(MAGIC), digest=bytes(32), writable=False)


def _sync_by_vote(source: ReadableBytes) -> bytes | None:
    """Return the sync value that most blocks agree on which name their own place."""
    votes: Counter[bytes] = Counter()
    size = source.size()
    # Every match costs time: a file that is full of them is given up on.
    left = _VOTES_PER_KIB * (1 + size // 1024)
    for base in range(0, size, _WINDOW):
        window = source.read(base, _WINDOW + len(MAGIC) * 4)
        for match in _CANDIDATE.finditer(window):
            left -= 1
            claims = block_claims(window, match.start())
            if claims is not None and claims[1] == base + match.start():
                votes[claims[0]] += 1
            if left <= 0:
                break
    return votes.most_common(1)[0][0] if votes else None


# -- gathering ----------------------------------------------------------------------------


class _Session:
    """The whole blocks of one session so far."""

    def __init__(self) -> None:
        self.opening: tuple[Opening, Place] | None = None
        self.actions: list[BlockRuns] = []
        self.checkpoints: list[Place] = []
        self.gaps: list[Place] = []
        self.needed_blobs: set[Place] = set()
        self.index: Place | None = None
        self.sealing: Sealing | None = None
        self.first: Place | None = None


class _Gathering:
    """Sorts blocks by session."""

    def __init__(self, segment: SegmentFile) -> None:
        self._segment = segment
        self._sessions: dict[bytes, _Session] = {}
        self._records: dict[bytes, tuple[Record, int]] = {}
        self._blobs: set[Place] = set()

    def take(self, block: Block) -> None:
        """
        Note what *block* holds.

        Raises:
            DamagedError: Its checks agree and what is in it makes no sense.
        """
        place = Place(block.offset, block.size)
        if block.kind == BLOB:
            self._blobs.add(place)
        elif block.kind == CATALOG:
            self._take_catalog(block)
        elif block.kind in (ACTS, CKPT):
            self._take_entries(block, place)
        elif block.kind in (OPEN, GAP, SEAL, PART, TOMB):
            self._take_map(block, place)

    def _take_catalog(self, block: Block) -> None:
        for record in catalog_of(block, path=self._segment.path).records:
            known = self._records.get(record.session_id)
            if known is None or record.number > known[0].number:
                self._records[record.session_id] = (record, block.offset)

    def _take_entries(self, block: Block, place: Place) -> None:
        key = "a" if block.kind == ACTS else "c"
        entries = decode_entry_block(block, key, path=self._segment.path)
        sequences = _sequences(entries) if block.kind == ACTS else []
        session = self._session(entries.session_id, place)
        session.needed_blobs.update(place for places in entries.blobs.values() for place in places)
        if block.kind == CKPT:
            for entry in entries.entries():
                demand_sound_checkpoint(entry)
            session.checkpoints.append(place)
        elif sequences:
            session.actions.append(BlockRuns(place, runs_of(sequences)))

    def _take_map(self, block: Block, place: Place) -> None:
        path = self._segment.path
        fields = Fields(decode_body(body_of(block, path=path), path=path, offset=block.offset), path, block.offset)
        if block.kind == GAP and fields.get("s") is None:
            return
        session_id = fields.octets("s", 16)
        if block.kind == TOMB:
            self._sessions.pop(session_id, None)
            return
        session = self._session(session_id, place)
        if block.kind == OPEN:
            session.opening = opening_of(fields), place
        elif block.kind == GAP:
            session.gaps.append(place)
        else:
            session.index = place
            ended = Fields(fields.mapping("end"), path, block.offset)
            session.sealing = sealing_of(ended) if block.kind == SEAL else None

    def _session(self, session_id: bytes, place: Place) -> _Session:
        session = self._sessions.setdefault(session_id, _Session())
        session.first = session.first or place
        return session

    # -- what came together -----------------------------------------------------------------

    def found(self) -> dict[bytes, Found]:
        """Return what is whole of each session that was not deleted."""
        return {
            session_id: self._found(session_id, session)
            for session_id, session in self._sessions.items()
            if not self._was_deleted(session_id, session)
        }

    def _was_deleted(self, session_id: bytes, session: _Session) -> bool:
        # The tombstone itself may be what is damaged.
        record, at = self._records.get(session_id, (None, 0))
        return record is not None and record.card is None and session.first is not None and session.first.offset < at

    def _found(self, session_id: bytes, session: _Session) -> Found:
        expected = self._expected(session_id, session)
        record = self._records.get(session_id, (None, 0))[0]
        assert session.first is not None  # a session is made from a block
        index = SessionIndex(
            session_id=session_id,
            opening=session.opening[1] if session.opening else session.first,
            actions=session.actions,
            checkpoints=session.checkpoints,
            gaps=session.gaps,
            edges=None if expected is None else expected.edges,
        )
        missing = _missing(index, expected, record)
        return Found(
            piece=Piece(self._segment, index),
            opening=session.opening[0] if session.opening else None,
            sealing=session.sealing,
            record=record,
            expected=expected,
            missing=missing,
            is_whole=expected is not None and not missing and self._lacks_nothing(session, expected),
        )

    def _expected(self, session_id: bytes, session: _Session) -> SessionIndex | None:
        if session.index is None:
            return None
        with suppress(DamagedError):
            return read_index(self._segment, session_id, session.index)
        return None

    def _lacks_nothing(self, session: _Session, expected: SessionIndex) -> bool:
        there = {block.place for block in session.actions} | {*session.checkpoints, *session.gaps}
        wanted = {block.place for block in expected.actions} | {*expected.checkpoints, *expected.gaps}
        return session.opening is not None and wanted <= there and session.needed_blobs <= self._blobs


def _sequences(entries: EntryBlock) -> list[int]:
    sequences: list[int] = []
    for entry in entries.entries():
        demand_sound_action(entry)
        sequence: int = entry["i"]
        if sequences and sequence <= sequences[-1]:
            raise DamagedError(entries.path, entries.offset, "the sequences of a block do not ascend")
        sequences.append(sequence)
    return sequences


def _missing(index: SessionIndex, expected: SessionIndex | None, record: Record | None) -> int:
    there = SequenceMap(index.actions).sequences()
    if expected is not None:
        # Counted from what is there: what a hostile index claims may be longer than time.
        wanted = SequenceMap(expected.actions).sequences()
        return len(wanted) - sum(1 for sequence in there if sequence in wanted)
    claimed = record.card.action_count if record is not None and record.card is not None else 0
    return max(0, claimed - len(there))
