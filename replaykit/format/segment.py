"""
Segments: what blocks hold, from the values of ``entries`` to bytes and back.

Pure: bytes in, values out.  Sync values, ids and times are arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from replaykit.errors import DamagedError, NotAStoreError, UnsupportedVersionError
from replaykit.format.block import (
    LIVE_LEVEL,
    MAGIC,
    NO_BLOCK,
    Block,
    block_digest,
    encode_block,
    encode_tail,
    read_block,
)
from replaykit.format.fields import Fields
from replaykit.format.index import BlockColumns, BlockRuns, Place
from replaykit.format.index_columns import decode_blocks, encode_blocks
from replaykit.format.merkle import Edge
from replaykit.format.strict import decode_body, encode_body

__all__ = [
    "ACTS",
    "BARRIER",
    "BLOB",
    "CATALOG",
    "CKPT",
    "GAP",
    "HEAD",
    "OPEN",
    "PART",
    "SEAL",
    "TOMB",
    "KINDS",
    "Head",
    "Origin",
    "SegmentWriter",
    "SessionIndex",
    "body_of",
    "index_of",
    "map_of_index",
    "read_head",
    "session_fields",
    "start_segment",
]

HEAD, OPEN, ACTS, BLOB, CKPT, SEAL, CATALOG, GAP, TOMB = range(1, 10)
BARRIER, PART = 12, 13

KINDS = frozenset((HEAD, OPEN, ACTS, BLOB, CKPT, SEAL, CATALOG, GAP, TOMB, BARRIER, PART))
"""The kinds of blocks that this release knows; others are kept and ignored."""

MAJOR = 1
MINOR = 2

# Readers look for the whole HEAD in the first 64 KiB.
_MOST_DROPPED = 2048

# What tells of sessions stays readable without zstd.
_COMPRESSED = frozenset((ACTS, BLOB, CKPT))
# In drafts of 1.0 it was compressed; that much has the largest catalog.
_MOST_EXPANDED = 4 << 20


@attrs.frozen(kw_only=True)
class Origin:
    """
    The file that a compacted one comes from.

    ``head`` is the BLAKE3 of its first block, ``dropped`` the sessions that
    were left out, of very many the last ones.
    """

    file_id: bytes
    head: bytes
    dropped: Sequence[bytes] = ()


@attrs.frozen(kw_only=True)
class Head:
    """What the first block of a segment says."""

    sync: bytes
    file_id: bytes
    created_ns: int
    end: int
    digest: bytes
    writable: bool = True
    origin: Origin | None = None


@attrs.frozen(kw_only=True)
class SessionIndex:
    """
    Where one session's blocks are; ``earlier`` is the index that comes before this one.

    ``edges`` are those of the session's trees behind the last of its blocks;
    None in a segment that was written before there were any.
    """

    session_id: bytes
    opening: Place
    actions: Sequence[BlockRuns] = attrs.field(factory=BlockColumns)
    checkpoints: Sequence[Place] = ()
    gaps: Sequence[Place] = ()
    earlier: Place | None = None
    edges: tuple[Edge, Edge] | None = None

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

    With *align* what is committed together is padded with zeros to so many
    bytes; *level* is zstd's for entries and blobs, None to leave them plain.
    """

    def __init__(
        self,
        *,
        sync: bytes,
        offset: int,
        previous: bytes,
        watermark: int,
        align: int = 0,
        level: int | None = LIVE_LEVEL,
    ) -> None:
        self.sync = sync
        self._align = align
        self._level = level
        self.offset = offset
        self.previous = previous
        self.watermark = watermark
        self._pieces: list[bytes] = []

    def add(self, kind: int, body: bytes) -> Place:
        """Add one block and return its place."""
        raw = encode_block(
            kind,
            body,
            sync=self.sync,
            offset=self.offset,
            watermark=self.watermark,
            previous=self.previous,
            level=self._level if kind in _COMPRESSED or kind not in KINDS else None,
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


def body_of(block: Block, *, path: str = "") -> bytes:
    """
    Return the body of a block of any kind.

    Raises:
        DamagedError: It does not expand, or to more than a block of its kind may.
    """
    # What tells of sessions is read at every listing, and is not compressed
    # since 1.1: it must not expand to very much more than is there.
    is_usual = block.kind in _COMPRESSED or block.kind not in KINDS
    return block.body(path=path) if is_usual else block.body(path=path, most=_MOST_EXPANDED)


# -- the first block --------------------------------------------------------------


def start_segment(
    *,
    sync: bytes,
    file_id: bytes,
    created_ns: int,
    writer: str,
    align: int = 0,
    level: int | None = LIVE_LEVEL,
    origin: Origin | None = None,
) -> SegmentWriter:
    """Return a writer whose first bytes are the magic and the HEAD."""
    segment = SegmentWriter(sync=sync, offset=0, previous=NO_BLOCK, watermark=0, align=align, level=level)
    segment.add_magic()
    head: dict[str, Any] = {
        "format": "replaykit",
        "major": MAJOR,
        "minor": MINOR,
        "file": file_id,
        "t": created_ns,
        "w": writer,
        "must": [],
        "mustw": [],
    }
    if origin is not None:
        dropped = list(origin.dropped[-_MOST_DROPPED:])
        head["from"] = {"file": origin.file_id, "head": origin.head, "dropped": dropped}
    segment.add(HEAD, encode_body(head))
    segment.pad()
    return segment


def _what_else(data: bytes) -> str:
    if data.startswith((b"MV2\x00", b"MV2ACTIV")):
        return "it is a file of memvid's, which is only read here; replaykit import takes its sessions over"
    return "it begins with something else" if data else "it is empty"


def read_head(data: bytes, *, path: str = "") -> Head:
    """
    Return the HEAD of the segment that *data* begins with.

    Raises:
        NotAStoreError: It begins with something else, or ends inside the HEAD.
        UnsupportedVersionError: A newer format, or one with features unknown here.
        DamagedError: A check of the HEAD disagrees.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise NotAStoreError(path, _what_else(data))
    block = read_block(data, len(MAGIC), path=path)
    if block is None:
        raise NotAStoreError(path, "it ends inside its head")
    if block.kind != HEAD or block.previous != NO_BLOCK:
        raise DamagedError(path, block.offset, "the first block is no head")
    fields = Fields(decode_body(body_of(block, path=path), path=path, offset=block.offset), path, block.offset)
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
        origin=_origin(fields),
    )


def _origin(fields: Fields) -> Origin | None:
    if fields.get("from") is None:
        return None
    found = Fields(fields.mapping("from"), fields.path, fields.offset)
    dropped = found.items("dropped")
    if not all(type(each) is bytes for each in dropped):
        raise found.malformed("dropped")
    return Origin(file_id=found.octets("file", 16), head=found.octets("head", 32), dropped=dropped)


# -- the index of a session ---------------------------------------------------------


def map_of_index(index: SessionIndex) -> dict[str, Any]:
    """Return *index* as it stands in a PART or SEAL block."""
    body: dict[str, Any] = {
        "s": index.session_id,
        "open": _pair(index.opening),
        "idx": encode_blocks(index.actions),
        "ck": [number for place in index.checkpoints for number in _pair(place)],
        "gp": [number for place in index.gaps for number in _pair(place)],
    }
    if index.earlier is not None:
        body["prev"] = _pair(index.earlier)
    if index.edges is not None:
        body["tree"] = [item for edge in index.edges for item in (edge.count, edge.peaks)]
    return body


def _pair(place: Place) -> list[int]:
    return [place.offset, place.size]


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
        edges=_edges(fields),
    )


def _edges(fields: Fields) -> tuple[Edge, Edge] | None:
    stored = fields.items("tree")
    if not stored:
        return None
    if [type(item) for item in stored] != [int, bytes, int, bytes]:
        raise fields.malformed("tree")
    actions, checkpoints = Edge(stored[0], stored[1]), Edge(stored[2], stored[3])
    if not (actions.is_sound and checkpoints.is_sound):
        raise fields.malformed("tree")
    return actions, checkpoints


def session_fields(block: Block, session_id: bytes, *, path: str = "") -> Fields:
    """Return the body of a block that must belong to *session_id*."""
    fields = Fields(decode_body(body_of(block, path=path), path=path, offset=block.offset), path, block.offset)
    if fields.octets("s", 16) != session_id:
        raise DamagedError(path, block.offset, "the block belongs to another session")
    return fields


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
