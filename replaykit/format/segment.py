"""
Segments: what blocks hold, from the values of ``entries`` to bytes and back.

Pure: bytes in, values out.  Sync values, ids and times are arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from replaykit.errors import DamagedError, NotAStoreError, UnsupportedVersionError, UsageError
from replaykit.format.block import (
    MAGIC,
    NO_BLOCK,
    Block,
    block_digest,
    cbor_head,
    encode_block,
    encode_tail,
    read_block,
)
from replaykit.format.entries import Entry, Gap, Part
from replaykit.format.fields import Fields, map_of_gap, map_of_opening, map_of_sealing
from replaykit.format.index import BlockRuns, Place, decode_blocks, encode_blocks, runs_of
from replaykit.format.strict import decode_body, encode_body, encode_value

__all__ = [
    "ACTS",
    "BARRIER",
    "CATALOG",
    "CKPT",
    "GAP",
    "HEAD",
    "OPEN",
    "PART",
    "SEAL",
    "TOMB",
    "Head",
    "SegmentWriter",
    "SessionIndex",
    "encode_part",
    "entries_of",
    "gap_bodies",
    "index_of",
    "read_head",
    "session_fields",
    "start_segment",
]

HEAD, OPEN, ACTS, BLOB, CKPT, SEAL, CATALOG, GAP, TOMB = range(1, 10)
BARRIER, PART = 12, 13

MAJOR = 1
MINOR = 0

_BLOCK_BYTES = 64 << 10
_BLOCK_ACTIONS = 512
# A call that outlived its part comes alone before those that began after it.
# A block of its own keeps the intervals of blocks nearly disjoint; small
# holes are not worth one.
_MAX_JUMP = 512
_GAP_BYTES = 1 << 20


@attrs.frozen(kw_only=True)
class Head:
    """What the first block of a segment says."""

    sync: bytes
    file_id: bytes
    created_ns: int
    end: int
    digest: bytes
    writable: bool = True


@attrs.frozen(kw_only=True)
class SessionIndex:
    """Where one session's blocks are; ``earlier`` is the index that comes before this one."""

    session_id: bytes
    opening: Place
    actions: Sequence[BlockRuns] = ()
    checkpoints: Sequence[Place] = ()
    gaps: Sequence[Place] = ()
    earlier: Place | None = None

    def followed_by(self, later: SessionIndex) -> SessionIndex:
        """Return one index of both; *later* wins where they overlap."""
        return attrs.evolve(
            later,
            actions=[*self.actions, *later.actions],
            checkpoints=[*self.checkpoints, *later.checkpoints],
            gaps=[*self.gaps, *later.gaps],
            earlier=self.earlier,
        )


class SegmentWriter:
    """
    Builds the bytes that follow a known end of a segment.

    With *align* what is committed together is padded with zeros to so many bytes.
    """

    def __init__(self, *, sync: bytes, offset: int, previous: bytes, watermark: int, align: int = 0) -> None:
        self.sync = sync
        self._align = align
        self.offset = offset
        self.previous = previous
        self.watermark = watermark
        self._pieces: list[bytes] = []

    def add(self, kind: int, body: bytes) -> Place:
        """Add one block and return its place."""
        raw = encode_block(
            kind, body, sync=self.sync, offset=self.offset, watermark=self.watermark, previous=self.previous
        )
        place = Place(self.offset, len(raw))
        self.previous = block_digest(raw)
        self._push(raw)
        return place

    def add_magic(self) -> None:
        """Add the label that a segment begins with."""
        self._push(MAGIC)

    def add_tail(self, catalog: int, digest: bytes) -> None:
        """Add the tail that names the catalog at *catalog*, whose block has this *digest*."""
        self._push(encode_tail(sync=self.sync, catalog=catalog, offset=self.offset, digest=digest))
        self.pad()

    def pad(self) -> None:
        """Add zeros up to the next boundary that is asked for."""
        if self._align:
            self._push(bytes(-self.offset % self._align))

    def take(self) -> bytes:
        """Return everything added since the last call."""
        built = b"".join(self._pieces)
        self._pieces.clear()
        return built

    def _push(self, raw: bytes) -> None:
        self._pieces.append(raw)
        self.offset += len(raw)


# -- the first block --------------------------------------------------------------


def start_segment(*, sync: bytes, file_id: bytes, created_ns: int, writer: str, align: int = 0) -> SegmentWriter:
    """Return a writer whose first bytes are the magic and the HEAD."""
    segment = SegmentWriter(sync=sync, offset=0, previous=NO_BLOCK, watermark=0, align=align)
    segment.add_magic()
    head = {
        "format": "replaykit",
        "major": MAJOR,
        "minor": MINOR,
        "file": file_id,
        "t": created_ns,
        "w": writer,
        "must": [],
        "mustw": [],
    }
    segment.add(HEAD, encode_body(head))
    segment.pad()
    return segment


def read_head(data: bytes, *, path: str = "") -> Head:
    """
    Return the HEAD of the segment that *data* begins with.

    Raises:
        NotAStoreError: It begins with something else, or ends inside the HEAD.
        UnsupportedVersionError: A newer format, or one with features unknown here.
        DamagedError: A check of the HEAD disagrees.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise NotAStoreError(path, "it is empty" if not data else "it begins with something else")
    block = read_block(data, len(MAGIC), path=path)
    if block is None:
        raise NotAStoreError(path, "it ends inside its head")
    if block.kind != HEAD or block.previous != NO_BLOCK:
        raise DamagedError(path, block.offset, "the first block is no head")
    fields = Fields(decode_body(block.body(path=path), path=path, offset=block.offset), path, block.offset)
    if fields.integer("major") != MAJOR:
        raise UnsupportedVersionError(path, fields.integer("major"), MAJOR)
    if fields.items("must"):
        raise UnsupportedVersionError(path, f"{MAJOR} with {fields.items('must')}", MAJOR)
    return Head(
        sync=block.raw[2:10],
        file_id=fields.octets("file", 16),
        created_ns=fields.integer("t"),
        end=block.end,
        digest=block.digest(),
        writable=not fields.items("mustw"),
    )


# -- one part -----------------------------------------------------------------------


def encode_part(
    writer: SegmentWriter, part: Part, *, before: SessionIndex | None = None, earlier: Place | None = None
) -> tuple[SessionIndex, Place]:
    """
    Add all blocks of *part*; return the session's index and where the index block is.

    *before* is the session's index so far and *earlier* the place of its
    newest index block, both None for its first part.  The index block of a
    sealing part holds the complete index, that of any other part its own
    piece and the place of the one before.
    """
    session_id = part.opening.session_id.bytes
    piece = SessionIndex(
        session_id=session_id,
        opening=writer.add(OPEN, encode_body(map_of_opening(part.opening))),
        actions=_add_actions(writer, session_id, part.actions),
        checkpoints=_add_checkpoints(writer, session_id, part.checkpoints),
        gaps=_add_gaps(writer, session_id, part.gaps),
        earlier=earlier,
    )
    whole = piece if before is None else before.followed_by(piece)
    if part.sealing is None:
        return whole, writer.add(PART, encode_body(_map_of_index(piece)))
    whole = attrs.evolve(whole, earlier=None)
    sealing = {**_map_of_index(whole), "end": map_of_sealing(part.sealing)}
    return whole, writer.add(SEAL, encode_body(sealing))


def _add_actions(writer: SegmentWriter, session_id: bytes, actions: Sequence[Entry]) -> list[BlockRuns]:
    return [
        BlockRuns(writer.add(ACTS, _list_body(session_id, "a", bodies)), runs_of(sequences))
        for sequences, bodies in _action_blocks(actions)
    ]


def _action_blocks(actions: Sequence[Entry]) -> Iterator[tuple[list[int], list[bytes]]]:
    sequences: list[int] = []
    bodies: list[bytes] = []
    size = 0
    for action in _ascending(actions):
        body = encode_value(dict(action))
        jumps = bool(sequences) and action["i"] - sequences[-1] > _MAX_JUMP
        full = len(bodies) >= _BLOCK_ACTIONS or (size + len(body) > _BLOCK_BYTES and size > 0)
        if jumps or full:
            yield sequences, bodies
            sequences, bodies, size = [], [], 0
        sequences.append(action["i"])
        bodies.append(body)
        size += len(body)
    if bodies:
        yield sequences, bodies


def _ascending(actions: Sequence[Entry]) -> Sequence[Entry]:
    """Return *actions* by sequence, the later of two equal ones."""
    for action in actions:
        sequence = action.get("i")
        if type(sequence) is not int or not 0 <= sequence < 1 << 48 or type(action.get("k")) is not str:
            raise UsageError('An action entry needs a sequence "i" and a kind "k"')
    if all(a["i"] < b["i"] for a, b in zip(actions, actions[1:], strict=False)):
        return actions
    newest = {action["i"]: action for action in actions}
    return [newest[sequence] for sequence in sorted(newest)]


def _add_checkpoints(writer: SegmentWriter, session_id: bytes, entries: Sequence[Entry]) -> list[Place]:
    places = []
    bodies: list[bytes] = []
    for entry in entries:
        bodies.append(encode_value(dict(entry)))
        if sum(map(len, bodies)) > _BLOCK_BYTES:
            places.append(writer.add(CKPT, _list_body(session_id, "c", bodies)))
            bodies = []
    if bodies:
        places.append(writer.add(CKPT, _list_body(session_id, "c", bodies)))
    return places


def _add_gaps(writer: SegmentWriter, session_id: bytes, gaps: Sequence[Gap]) -> list[Place]:
    return [writer.add(GAP, encode_body(body)) for gap in gaps for body in gap_bodies(session_id, gap)]


def _list_body(session_id: bytes, key: str, items: Sequence[bytes]) -> bytes:
    """Return the body ``{"s": session, key: [items]}`` of items that are encoded already."""
    return b"".join((encode_body({"s": session_id, key: []})[:-1], cbor_head(4, len(items)), *items))


def gap_bodies(session_id: bytes | None, gap: Gap) -> Iterator[dict[str, Any]]:
    """Yield *gap* as bodies of GAP blocks, cut to pieces of 1 MiB."""
    for start in range(0, max(len(gap.data), 1), _GAP_BYTES):
        piece = attrs.evolve(gap, offset=gap.offset + start, data=gap.data[start : start + _GAP_BYTES])
        yield map_of_gap(piece, session_id)


def _map_of_index(index: SessionIndex) -> dict[str, Any]:
    body = {
        "s": index.session_id,
        "open": _pair(index.opening),
        "idx": encode_blocks(index.actions),
        "ck": [number for place in index.checkpoints for number in _pair(place)],
        "gp": [number for place in index.gaps for number in _pair(place)],
    }
    if index.earlier is not None:
        body["prev"] = _pair(index.earlier)
    return body


def _pair(place: Place) -> list[int]:
    return [place.offset, place.size]


# -- reading one block --------------------------------------------------------------


def index_of(block: Block, session_id: bytes, *, path: str = "") -> SessionIndex:
    """
    Return what an index block (PART or SEAL) of *session_id* says.

    Raises:
        DamagedError: It is something else, or names places that are not before it.
    """
    if block.kind not in (PART, SEAL):
        raise DamagedError(path, block.offset, "an index points to another kind of block")
    fields = session_fields(block, session_id, path=path)
    opening = _places(fields, "open", block)
    earlier = _places(fields, "prev", block)
    if len(opening) != 1 or len(earlier) > 1:
        raise DamagedError(path, block.offset, "the index of a session is malformed")
    return SessionIndex(
        session_id=session_id,
        opening=opening[0],
        actions=decode_blocks(fields.get("idx"), end=block.offset, path=path, offset=block.offset),
        checkpoints=_places(fields, "ck", block),
        gaps=_places(fields, "gp", block),
        earlier=earlier[0] if earlier else None,
    )


def session_fields(block: Block, session_id: bytes, *, path: str = "") -> Fields:
    """Return the body of a block that must belong to *session_id*."""
    fields = Fields(decode_body(block.body(path=path), path=path, offset=block.offset), path, block.offset)
    if fields.octets("s", 16) != session_id:
        raise DamagedError(path, block.offset, "the block belongs to another session")
    return fields


def entries_of(block: Block, kind: int, session_id: bytes, *, path: str = "") -> list[dict[str, Any]]:
    """
    Return the entries of a block of *kind* ACTS or CKPT.

    Raises:
        DamagedError: It is another kind of block, or of another session, or holds no entries.
    """
    if block.kind != kind:
        raise DamagedError(path, block.offset, "an index points to another kind of block")
    entries = session_fields(block, session_id, path=path).items("a" if kind == ACTS else "c")
    if not all(type(entry) is dict for entry in entries):
        raise DamagedError(path, block.offset, "an entry is not a map")
    return entries


def _places(fields: Fields, key: str, block: Block) -> list[Place]:
    numbers = fields.items(key)
    places = [Place(offset, size) for offset, size in zip(numbers[::2], numbers[1::2], strict=False)]
    for place in places:
        if not (type(place.offset) is type(place.size) is int and place.size > 0 and place.offset >= 0):
            raise fields.malformed(key)
        # An index names only what stands before it: so a chain of indexes ends.
        if place.offset + place.size > block.offset:
            raise fields.malformed(key)
    return places
