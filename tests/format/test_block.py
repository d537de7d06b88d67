"""Blocks and tails: what goes in comes out, and nothing else passes for one."""

from __future__ import annotations

import contextlib

import cbor2
import pytest
from backports import zstd
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from replaykit.errors import DamagedError, StorageError
from replaykit.format import block as blocks
from replaykit.format.block import (
    MAGIC,
    Block,
    block_size,
    encode_block,
    encode_tail,
    find_tail,
    read_block,
    read_tail,
)

SYNC = b"syncsync"
PREVIOUS = bytes(range(32))


def made(body: bytes = b"body", *, offset: int = 0, kind: int = 3) -> bytes:
    return encode_block(kind, body, sync=SYNC, offset=offset, watermark=0, previous=PREVIOUS)


@given(
    st.integers(0, 127),
    st.binary(max_size=2000) | st.binary(min_size=1, max_size=4).map(lambda piece: piece * 700),
    st.integers(0, 2**48),
    st.data(),
)
def test_a_block_comes_back_equal(kind: int, body: bytes, offset: int, data: st.DataObject) -> None:
    """Any kind, body and place."""
    watermark = data.draw(st.integers(0, offset))
    raw = encode_block(kind, body, sync=SYNC, offset=offset, watermark=watermark, previous=PREVIOUS)

    block = read_block(raw, sync=SYNC, base=offset)

    assert isinstance(block, Block)
    found = (block.kind, block.body(), block.offset, block.watermark, block.previous)
    assert (kind, body, offset, watermark, PREVIOUS) == found
    assert len(raw) == block.size == block_size(raw)
    assert offset + len(raw) == block.end


@pytest.mark.parametrize("number", [0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**48])
def test_numbers_of_each_length_come_back(number: int) -> None:
    raw = encode_block(127, b"", sync=SYNC, offset=number, watermark=number, previous=PREVIOUS)

    block = read_block(raw, sync=SYNC, base=number)

    assert block is not None
    assert (block.offset, block.watermark, block.kind) == (number, number, 127)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("1880 00 00 00", "out of range"),
        ("03 02 00 00", "another shape"),
        ("03 00 1817 00", "shortest form"),
        ("03 00 1900ff 00", "shortest form"),
        ("03 00 1a0000ffff 00", "shortest form"),
        ("03 00 1b00000000ffffffff 00", "shortest form"),
        ("03 00 1b0001000000000001 00", "out of range"),
        ("03 00 00 01", "out of range"),
        ("03 00 40 00", "another shape"),
        ("03 00 1c 00", "another shape"),
    ],
)
def test_a_header_that_no_writer_makes_is_refused_with_its_reason(head: str, reason: str) -> None:
    data = b"\x88\x48" + SYNC + bytes.fromhex(head) + b"\x58\x20" + PREVIOUS + b"\xd8\x18\x40" + bytes(40)
    with pytest.raises(DamagedError, match=reason):
        block_size(data)


def test_a_block_is_cbor_that_any_tool_reads() -> None:
    """A plain body is embedded CBOR; a segment begins with a labelled sequence."""
    items = cbor2.loads(made(cbor2.dumps({"a": 1})))
    assert items[:6] == [SYNC, 3, 0, 0, 0, PREVIOUS]
    assert cbor2.loads(items[6].value) == {"a": 1}
    assert cbor2.loads(MAGIC).value.value == b"BOR"


def test_large_bodies_are_compressed_where_it_helps() -> None:
    """Repetition shrinks; noise stays as it is."""
    assert len(made(b"again and again " * 100)) < 200
    noise = blake3(b"seed").digest(length=2000)
    assert len(made(noise)) > 2000


@pytest.mark.parametrize("body", [b"short", b"longer than the threshold " * 40])
def test_a_cut_block_is_not_there_yet(body: bytes) -> None:
    """Data that ends inside it is no error: the rest may still come."""
    raw = made(body)
    for size in range(len(raw)):
        assert read_block(raw[:size], sync=SYNC) is None


@pytest.mark.parametrize("body", [b"short", b"longer than the threshold " * 40])
def test_every_bit_flip_is_noticed(body: bytes) -> None:
    """A flipped block is damaged, or claims to be longer than the data."""
    raw = bytearray(made(body))
    for position in range(len(raw) * 8):
        raw[position // 8] ^= 1 << position % 8
        with contextlib.suppress(DamagedError):
            assert read_block(bytes(raw), sync=SYNC) is None
        raw[position // 8] ^= 1 << position % 8


@given(st.binary(max_size=150))
def test_any_bytes_are_no_block(data: bytes) -> None:
    """Noise gives None or a typed error."""
    for candidate in (data, b"\x88\x48" + SYNC + data):
        with contextlib.suppress(DamagedError):
            assert read_block(candidate, sync=SYNC) is None


def test_a_block_is_valid_at_its_own_place_only() -> None:
    """A copy inside a payload, or in another file, is damage."""
    raw = made(offset=100)
    assert read_block(raw, sync=SYNC, base=100)
    with pytest.raises(DamagedError, match="place"):
        read_block(raw, sync=SYNC, base=101)
    with pytest.raises(DamagedError, match="file"):
        read_block(raw, sync=b"othersyn", base=100)


@pytest.mark.parametrize("size", [2**16, 2**31, 2**62, 2**64 - 1])
def test_a_length_that_lies_costs_nothing(size: int) -> None:
    """It is refused, or waited for, before memory is taken."""
    start = made()[:10] + b"\x03\x01\x00\x00\x58\x20" + PREVIOUS
    head = cbor2.dumps(size)
    lying = start + bytes((head[0] | 0x40,)) + head[1:]
    try:
        assert read_block(lying, sync=SYNC) is None
        assert size < blocks.MAX_BLOCK_BYTES
    except DamagedError:
        assert size >= 2**31


def test_numbers_in_a_longer_form_are_damage() -> None:
    """There is one way to write a block."""
    raw = made()
    assert raw[10:11] == b"\x03"
    with pytest.raises(DamagedError, match="shortest"):
        read_block(raw[:10] + b"\x18\x03" + raw[11:], sync=SYNC)


def _compressed_block(packed: bytes) -> Block:
    return Block(kind=3, codec=1, offset=0, watermark=0, previous=PREVIOUS, packed=packed, raw=b"")


def _undeclared(size: int) -> bytes:
    packer = zstd.ZstdCompressor()
    pieces = [packer.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return b"".join([*pieces, packer.flush()])


BOMBS = {
    "100 MiB of zeros without a declared size": _undeclared(100 << 20),
    "16 bytes that declare 1 TiB": b"\x28\xb5\x2f\xfd\xe0" + bytes(5) + b"\x01\x00\x00\x01\x00\x00",
    "no zstd": b"hello",
    "nothing": b"",
    "bytes behind the frame": zstd.compress(b"x" * 1000) + b"more",
    "cut short": zstd.compress(b"x" * 1000)[:-2],
    "two frames": zstd.compress(b"x" * 1000) * 2,
    "over the limit": zstd.compress(bytes(blocks.MAX_BLOCK_BYTES + 1)),
}


@pytest.mark.parametrize("packed", BOMBS.values(), ids=BOMBS)
def test_a_body_expands_to_what_it_declares_or_not_at_all(packed: bytes) -> None:
    """The declared size decides before anything is expanded."""
    with pytest.raises(DamagedError):
        _compressed_block(packed).body()


def test_a_body_over_the_limit_is_not_written() -> None:
    """With an error that says so."""
    with pytest.raises(StorageError, match="limit"):
        made(bytes(blocks.MAX_BLOCK_BYTES))


@settings(max_examples=50)
@given(st.binary(max_size=100), st.binary(max_size=100), st.integers(0, 1000))
def test_the_last_tail_is_found(before: bytes, after: bytes, base: int) -> None:
    """Whatever stands around it, and only at its own place."""
    tail = encode_tail(sync=SYNC, catalog=0, offset=base + len(before) + 1, digest=PREVIOUS)
    data = before + b"\x00" + tail + after
    found = find_tail(data, len(data), sync=SYNC, base=base)
    assert found is not None
    assert (base + len(before) + 1, PREVIOUS[:4]) == (found.offset, found.check)
    assert read_tail(tail, 0, sync=SYNC, base=base + len(before)) is None
