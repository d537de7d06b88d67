"""Blocks of entries and the blobs beside them: what goes in comes out, and hostile ones are damage."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from replaykit.errors import DamagedError, UsageError
from replaykit.format import entry_blocks
from replaykit.format.block import MAX_EXPANDED_BYTES, Block, cbor_head, encode_block, read_block
from replaykit.format.entry_blocks import (
    BLOB_BYTES,
    blob_bodies,
    blob_piece,
    blob_references,
    decode_entry_block,
    encode_action,
    encode_entry_block,
    joined_blob,
    with_blobs,
)
from replaykit.format.segment import ACTS, BLOB, CKPT
from replaykit.format.strict import (
    MOST_CONTAINERS,
    decode_value,
    encode_body,
    encode_value,
    is_small_enough,
)
from replaykit.storage.file_store import FileStore
from replaykit.storage.segment_file import SegmentFile, open_file
from replaykit.testing.contracts import make_part

ID = bytes(range(16))
SYNC = b"syncsync"
AT = 1000
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
SIZES = st.sampled_from([0, 1, BLOB_BYTES - 4, BLOB_BYTES - 3, BLOB_BYTES - 2, BLOB_BYTES, 50_000])


def block_of(body: bytes, kind: int = ACTS, offset: int = AT) -> Block:
    raw = encode_block(kind, body, sync=SYNC, offset=offset, watermark=0, previous=bytes(32))
    block = read_block(raw, sync=SYNC, base=offset)
    assert block is not None
    return block


# -- round trips ----------------------------------------------------------------------


@given(st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=3), max_size=6))
def test_entries_come_back_one_by_one(entries: list[dict[str, Any]]) -> None:
    """Each is cut out by its length, with the very bytes that were put in."""
    raws = [encode_value(entry) for entry in entries]

    found = decode_entry_block(block_of(encode_entry_block(ID, "a", raws)), "a", ID)

    assert raws == list(found.raws)
    assert entries == [found.entry(position) for position in range(len(found))]


@given(SIZES, SIZES, VALUES, st.booleans())
def test_an_action_comes_back_with_its_large_values(arguments: int, output: int, other: Any, text: bool) -> None:
    """Whatever stands outside is put back in its place, as it was."""
    shape: Callable[[int], Any] = (lambda size: "x" * size) if text else bytes
    entry = {"i": 5, "k": "find", "in": shape(arguments), "nm": other, "out": shape(output), "fl": ["cut"]}

    encoded = encode_action(entry)
    stored = decode_value(encoded.raw)

    assert entry == with_blobs(stored, encoded.blobs)
    assert list(entry) == list(with_blobs(stored, encoded.blobs))
    assert set(encoded.blobs) == set(blob_references(stored).values())


@pytest.mark.parametrize(("size", "outside"), [(BLOB_BYTES - 4, False), (BLOB_BYTES - 3, True), (BLOB_BYTES, True)])
def test_a_value_of_16_kib_of_cbor_stands_outside(size: int, outside: bool) -> None:
    """The bound counts the head of the value; it is part of the format, since a leaf holds what it leaves in."""
    encoded = encode_action({"i": 0, "k": "find", "out": bytes(size)})

    assert len(encode_value(bytes(BLOB_BYTES - 3))) == BLOB_BYTES
    assert ("outb" in decode_value(encoded.raw)) == outside
    assert len(encoded.blobs) == outside
    for digest, data in encoded.blobs.items():
        assert decode_value(encoded.raw)["outb"] == [digest, len(data)]
        assert (digest, encode_value(bytes(size))) == (blake3(data).digest(), data)


def test_other_large_values_stay_inside() -> None:
    """Only arguments and outputs stand outside."""
    encoded = encode_action({"i": 0, "k": "find", "x": {"query": "q" * BLOB_BYTES}})

    assert not encoded.blobs


def test_a_block_without_lengths_still_reads() -> None:
    """As drafts of 1.0 wrote it, for actions and for checkpoints."""
    entries = [{"i": number, "k": "find", "out": "x"} for number in range(3)]
    for key, kind in (("a", ACTS), ("c", CKPT)):
        found = decode_entry_block(block_of(encode_body({"s": ID, key: entries}), kind), key, ID)
        assert entries == list(found.entries())
        assert [encode_value(entry) for entry in entries] == list(found.raws)


# -- blobs in a store -------------------------------------------------------------------


def blobs_in(path: Path) -> list[Block]:
    with contextlib.closing(FileStore(path, read_only=True)) as store:
        segment = SegmentFile(open_file(store.files, str(path)))
        return [
            item
            for item in segment.scan(segment.head.end, segment.size())
            if isinstance(item, Block) and item.kind == BLOB
        ]


def test_a_value_is_kept_once_per_part(tmp_path: Path) -> None:
    """Equal values of one part share a blob; each part stands alone."""
    path, session_id = tmp_path / "runs.rpk", uuid4()
    large = "x" * BLOB_BYTES
    with contextlib.closing(FileStore(path)) as store:
        store.publish(make_part(session_id, range(30), state=None, text=large))
        assert len(blobs_in(path)) == 1
        store.publish(make_part(session_id, range(30, 60), number=1, text=large))
        assert [action["out"][0]["text"] for action in store.read(session_id).actions()] == [large] * 60
    assert len(blobs_in(path)) == 2


def test_a_very_large_value_is_kept_in_pieces(tmp_path: Path) -> None:
    """8 MiB each, in order; read back as one."""
    path, session_id = tmp_path / "runs.rpk", uuid4()
    large = bytes(range(256)) * 4096 * 17
    part = make_part(session_id, range(1))
    with contextlib.closing(FileStore(path)) as store:
        store.publish(attrs.evolve(part, actions=[{"i": 0, "k": "put", "in": {"content": large}}]))
        assert store.read(session_id).action(0)["in"] == {"content": large}

    pieces = [blob_piece(block) for block in blobs_in(path)]
    assert [(piece.number, piece.pieces, len(piece.data)) for piece in pieces] == [
        (0, 3, 8 << 20),
        (1, 3, 8 << 20),
        (2, 3, len(encode_value({"content": large})) - (16 << 20)),
    ]


def test_a_value_that_no_reader_takes_is_not_written() -> None:
    """A reader is asked for 64 MiB at most, so more is refused before anything is stored."""
    with pytest.raises(UsageError):
        encode_action({"i": 0, "k": "put", "in": bytes(64 << 20)})


# -- hostile blocks -----------------------------------------------------------------------


def with_lengths(packed: bytes, *, key: str = "a", count: int = 1, tail: bytes = b"\xa0") -> bytes:
    return b"".join((encode_body({"l": packed, "s": ID, key: []})[:-1], cbor_head(4, count), tail))


@pytest.mark.parametrize(
    "body",
    [
        with_lengths(struct.pack(">I", 2)),
        with_lengths(struct.pack(">I", 0)),
        with_lengths(struct.pack(">I", 2**32 - 1)),
        with_lengths(struct.pack(">2I", 1, 1), count=2),
        with_lengths(struct.pack(">2I", 1, 1), count=1, tail=b"\xa0\xa0"),
        with_lengths(struct.pack(">I", 1) + b"\0"),
        with_lengths(struct.pack(">I", 1), count=2, tail=b"\xa0\xa0"),
        with_lengths(struct.pack(">I", 2), tail=b"\xa0\xa0"),
        with_lengths(struct.pack(">I", 1), tail=b"\x80"),
        with_lengths(struct.pack(">I", 1), tail=b"\xf6"),
        b"\xa3\x61l\x44\0\0\0\x01",
        b"\xa3\x61l\x5b" + b"\xff" * 8,
        b"\xa3\x61l\x84\0\0\0\x01",
        b"\xa3\x61l",
        with_lengths(struct.pack(">I", 84), tail=b"\xa1\x61x" + b"\x81" * 80 + b"\0"),
    ],
)
def test_hostile_lengths_are_damage(body: bytes) -> None:
    """Lengths that do not fit, entries that are no maps, and bodies that end inside them."""
    with pytest.raises(DamagedError):
        list(decode_entry_block(block_of(body), "a", ID).entries())


@given(st.binary(max_size=60))
def test_any_body_gives_entries_or_a_typed_error(noise: bytes) -> None:
    """No foreign exception leaves the decoder."""
    for body in (noise, b"\xa3\x61l" + noise, with_lengths(noise[:8], tail=noise[8:])):
        with contextlib.suppress(DamagedError):
            list(decode_entry_block(block_of(body), "a").entries())


def test_a_block_of_another_session_is_damage() -> None:
    """An index cannot mix sessions."""
    with pytest.raises(DamagedError):
        decode_entry_block(block_of(encode_entry_block(ID, "a", [b"\xa0"])), "a", bytes(16))


DIGEST = bytes(32)


@pytest.mark.parametrize(
    "places",
    [
        [DIGEST, 1],
        [DIGEST, 1, 2, 3],
        [DIGEST, -1, 2],
        [DIGEST, 1, 0],
        [DIGEST, AT - 5, 6],
        [DIGEST, 2**63, 2],
        [DIGEST[:-1], 1, 2],
        ["text", 1, 2],
        [DIGEST, 1.0, 2],
        [DIGEST, True, 2],
        [DIGEST, 100, 50, DIGEST, 100, 50],
        [DIGEST, 100, 50, DIGEST, 120, 50],
        [DIGEST, 100, 50, DIGEST, 20, 50],
    ],
)
def test_hostile_places_of_blobs_are_damage(places: list[Any]) -> None:
    """Not before the block that names them, no places at all, or one piece named again and again."""
    raw = encode_value({"i": 0, "k": "find"})
    body = b"".join((encode_body({"l": struct.pack(">I", len(raw)), "s": ID, "b": places, "a": []})[:-1], b"\x81", raw))
    with pytest.raises(DamagedError):
        decode_entry_block(block_of(body), "a", ID)


def pieces_of(data: bytes, digest: bytes) -> list[entry_blocks.BlobPiece]:
    return [blob_piece(block_of(body, BLOB)) for body in blob_bodies(ID, digest, data)]


@pytest.mark.parametrize("size", [1, 8 << 20, (8 << 20) + 1, (16 << 20) + 5])
def test_blobs_come_back_from_their_pieces(size: int) -> None:
    """The bytes are those that the hash says."""
    data = bytes(size)
    digest = blake3(data).digest()

    assert data == joined_blob(digest, pieces_of(data, digest))


def test_a_blob_is_what_its_hash_says_or_damage() -> None:
    """Another hash, a missing, repeated or strange piece, or another length."""
    data = b"x" * 100
    digest = blake3(data).digest()
    (piece,) = pieces_of(data, digest)
    for wrong in (
        (blake3(b"other").digest(), [piece]),
        (digest, []),
        (digest, [piece, attrs.evolve(piece, number=1)]),
        (digest, [attrs.evolve(piece, number=1)]),
        (digest, [attrs.evolve(piece, total=99)]),
        (digest, [attrs.evolve(piece, total=101)]),
        (digest, [attrs.evolve(piece, digest=DIGEST)]),
        (digest, [attrs.evolve(piece, data=b"y" * 100)]),
    ):
        with pytest.raises(DamagedError):
            joined_blob(*wrong)


def test_a_blob_is_given_up_at_the_first_piece_that_does_not_fit() -> None:
    """Pieces are read one by one: however many a hostile block names, few are expanded."""
    piece = attrs.evolve(*pieces_of(b"x" * 100, DIGEST), total=1 << 50)
    read = []

    def endless() -> Any:
        while True:
            read.append(1)
            yield attrs.evolve(piece, number=len(read) - 1)

    with pytest.raises(DamagedError):
        joined_blob(DIGEST, endless())
    assert len(read) == 1


def test_an_entry_whose_blob_is_missing_is_damage() -> None:
    """Also where its reference is no reference: the action never comes out as if it had no output."""
    encoded = encode_action({"i": 0, "k": "find", "out": bytes(BLOB_BYTES)})
    stored = decode_value(encoded.raw)

    with pytest.raises(DamagedError):
        with_blobs(stored, {})
    assert with_blobs(stored, encoded.blobs)["out"] == bytes(BLOB_BYTES)


@pytest.mark.parametrize(
    "changes", [{"s": b"short"}, {"h": b"short"}, {"n": "x"}, {"q": None}, {"of": 1.0}, {"b": "text"}]
)
def test_a_malformed_blob_is_damage(changes: Mapping[str, Any]) -> None:
    """A field of another type, or a hash of another length."""
    body = {"s": ID, "h": DIGEST, "n": 1, "q": 0, "of": 1, "b": b"x", **changes}
    with pytest.raises(DamagedError):
        blob_piece(block_of(encode_body(body), BLOB))


def test_a_body_that_is_too_long_to_expand_is_stored_as_it_is() -> None:
    """So a small file never becomes a large one in memory."""
    for size, codec in ((MAX_EXPANDED_BYTES - 64, 1), (MAX_EXPANDED_BYTES + 1, 0)):
        body = encode_body({"x": bytes(size)})
        raw = encode_block(99, body, sync=b"syncsync", offset=12, watermark=0, previous=bytes(32))
        block = read_block(raw, base=12)
        assert block is not None
        assert (block.codec, block.body() == body) == (codec, True)


def test_what_only_looks_like_many_lists_is_read() -> None:
    """Texts in other scripts and bytes are full of bytes that lists begin with."""
    for value in ("\u00e9" * MOST_CONTAINERS * 2, b"\x80" * MOST_CONTAINERS * 2, ["\u20ac" * 30] * 100_000):
        encoded = encode_value(value)
        assert is_small_enough(encoded)
        assert decode_value(encoded) == value
