"""
One block to bytes and back: the checked unit of a segment.

A block is a CBOR array of eight items: the file's sync value, kind, codec,
own offset, watermark, BLAKE3 of the block before, body, CRC-32.  Nothing here
looks at what a body means.
"""

from __future__ import annotations

import re
import sys
import zlib
from typing import Any, NamedTuple, NoReturn

import attrs
from blake3 import blake3

from replaykit.errors import DamagedError, StorageError

__all__ = [
    "BLOCK_START",
    "HEADER_BYTES",
    "LIVE_LEVEL",
    "MAGIC",
    "MAX_BLOCK_BYTES",
    "MAX_EXPANDED_BYTES",
    "NO_BLOCK",
    "SYNC_BYTES",
    "TAIL_BYTES",
    "Block",
    "EndsInside",
    "HeadReader",
    "Tail",
    "block_claims",
    "block_digest",
    "block_size",
    "cbor_head",
    "encode_block",
    "encode_tail",
    "find_tail",
    "read_block",
    "read_tail",
]

MAGIC = bytes.fromhex("d9d9f8da52504b3143424f52")
"""The first 12 bytes of a segment: a CBOR sequence labelled ``RPK1`` (RFC 9277)."""

NO_BLOCK = bytes(32)
"""What stands for the block before the first one."""

MAX_BLOCK_BYTES = 64 << 20
"""The most bytes of a block."""

MAX_EXPANDED_BYTES = 16 << 20
"""The most bytes that a compressed body expands to; a longer one is stored as it is: little never becomes much."""

HEADER_BYTES = 80
"""As many bytes of a block are enough to know its size."""

BLOCK_START = b"\x88\x48"
"""What every block begins with; its sync value follows."""

LIVE_LEVEL = 3
"""How hard zstd tries for what is just being recorded."""

SYNC_BYTES = 8
TAIL_BYTES = 34

_PLAIN, _ZSTD = 0, 1
_COMPRESS_ABOVE = 256
_WINDOW_LOG_MAX = 23
_PREVIOUS = b"\x58\x20"
_EMBEDDED = b"\xd8\x18"
_CRC = b"\x44"
_CRC_BYTES = 5
_MAX_OFFSET = 1 << 48
_OUT_OF_RANGE = "a field of the block is out of range"
# Heads of items in their shortest forms; a kind is at most 127.
_HEADER = re.compile(
    rb"""\x88\x48 .{8}
    (?P<kind>[\x00-\x17]|\x18[\x18-\x7f]) (?:(?P<plain>\x00)|\x01) (?P<offset>%(n)b) (?P<mark>%(n)b)
    \x58\x20 (?P<previous>.{32}) (?(plain)\xd8\x18)
    (?P<length>[\x40-\x57]|\x58[\x18-\xff]|\x59[\x01-\xff].|\x5a(?!\0\0).{4}|\x5b(?!\0{4}).{8})"""
    % {b"n": rb"(?:[\x00-\x17]|\x18[\x18-\xff]|\x19[\x01-\xff].|\x1a(?!\0\0).{4}|\x1b(?!\0{4}).{8})"},
    re.DOTALL | re.VERBOSE,
)


@attrs.frozen(kw_only=True, repr=False)
class Block:
    """A whole block whose own checks agree; ``raw`` is all of its bytes."""

    kind: int
    codec: int
    offset: int
    watermark: int
    previous: bytes
    packed: bytes
    raw: bytes

    @property
    def size(self) -> int:
        """Bytes from its start to its end."""
        return len(self.raw)

    @property
    def end(self) -> int:
        """Where the next byte after it stands."""
        return self.offset + len(self.raw)

    def digest(self) -> bytes:
        """Return the BLAKE3 that the next block names as its ``previous``."""
        return block_digest(self.raw)

    def body(self, *, path: str = "", most: int = MAX_EXPANDED_BYTES) -> bytes:
        """
        Return the body; a compressed one expands to at most so many bytes.

        Raises:
            DamagedError: It does not expand to what it declares, or is over the limit.
        """
        if self.codec == _PLAIN:
            return self.packed
        return _expanded(self.packed, path, self.offset, most)

    def __repr__(self) -> str:
        return f"<Block kind {self.kind} at {self.offset}, {self.size} bytes>"


@attrs.frozen(kw_only=True)
class Tail:
    """The mark behind a catalog: where that catalog is and how long the file was."""

    catalog: int
    offset: int
    check: bytes

    @property
    def end(self) -> int:
        """Where the next byte after it stands."""
        return self.offset + TAIL_BYTES


def block_digest(raw: bytes) -> bytes:
    """Return the BLAKE3 of a block's bytes: what the next block names."""
    return blake3(raw).digest()


# -- writing ------------------------------------------------------------------


def encode_block(
    kind: int, body: bytes, *, sync: bytes, offset: int, watermark: int, previous: bytes, level: int | None = LIVE_LEVEL
) -> bytes:
    """
    Return the bytes of a block that stands at *offset*.

    *level* is zstd's, None to leave the body plain.

    Raises:
        StorageError: The body is over the limit.
    """
    if len(body) > MAX_BLOCK_BYTES - 2 * HEADER_BYTES:
        raise StorageError(f"A block of {len(body)} bytes exceeds the limit of {MAX_BLOCK_BYTES}")
    codec, packed = (_PLAIN, body) if level is None else _packed(body, level)
    content = b"".join(
        (
            BLOCK_START,
            sync,
            cbor_head(0, kind),
            cbor_head(0, codec),
            cbor_head(0, offset),
            cbor_head(0, watermark),
            _PREVIOUS,
            previous,
            b"" if codec else _EMBEDDED,
            cbor_head(2, len(packed)),
            packed,
        )
    )
    return b"".join((content, _CRC, zlib.crc32(content).to_bytes(4, "big")))


def encode_tail(*, sync: bytes, catalog: int, offset: int, digest: bytes) -> bytes:
    """Return the tail that stands at *offset* and names the catalog with this *digest*."""
    content = b"".join((_PREVIOUS, sync, catalog.to_bytes(8, "big"), offset.to_bytes(8, "big"), digest[:4]))
    return content + zlib.crc32(content).to_bytes(4, "big")


def _packed(body: bytes, level: int) -> tuple[int, bytes]:
    if _COMPRESS_ABOVE < len(body) <= MAX_EXPANDED_BYTES:
        smaller: bytes = _zstd().compress(body, level)
        if len(smaller) * 10 <= len(body) * 9:
            return _ZSTD, smaller
    return _PLAIN, body


def cbor_head(major: int, value: int) -> bytes:
    """Return the shortest head of a CBOR item: its major type and value or length."""
    top = major << 5
    if value < 24:
        return bytes((top | value,))
    for extra, size in ((24, 1), (25, 2), (26, 4)):
        if value < 1 << 8 * size:
            return bytes((top | extra,)) + value.to_bytes(size, "big")
    return bytes((top | 27,)) + value.to_bytes(8, "big")


# -- reading ------------------------------------------------------------------


class EndsInside(Exception):
    """The data ends before the item does."""


class _Header(NamedTuple):
    kind: int
    codec: int
    offset: int
    watermark: int
    previous: bytes
    body_at: int
    body_bytes: int

    @property
    def end(self) -> int:
        return self.body_at + self.body_bytes + _CRC_BYTES


def block_size(data: bytes, at: int = 0, *, path: str = "") -> int | None:
    """
    Return the size that the block at *at* declares, None if *data* is too short to tell.

    Raises:
        DamagedError: No block begins there, or its size is over the limit.
    """
    try:
        return _header(data, at, path, at).end - at
    except EndsInside:
        return None


def block_claims(data: bytes, at: int) -> tuple[bytes, int] | None:
    """Return the sync value and the place that a block at *at* names as its own; None where it has no block's shape."""
    try:
        header = _header(data, at, "", at)
    except (EndsInside, DamagedError):
        return None
    return bytes(data[at + len(BLOCK_START) : at + len(BLOCK_START) + SYNC_BYTES]), header.offset


def read_block(data: bytes, at: int = 0, *, sync: bytes | None = None, base: int = 0, path: str = "") -> Block | None:
    """
    Return the block at *at*, or None if *data* ends inside it.

    *base* is where *data* begins in the stream; the block must name its own
    place.  Without *sync* any sync value passes: for the first block.

    Raises:
        DamagedError: No block begins there, or a check of it disagrees.
    """
    where = base + at
    try:
        header = _header(data, at, path, where)
    except EndsInside:
        return None
    if sync is not None and data[at + 2 : at + 10] != sync:
        raise DamagedError(path, where, "the block belongs to another file")
    if header.offset != where:
        raise DamagedError(path, where, "the block names another place as its own")
    if header.end > len(data):
        return None
    raw = bytes(data[at : header.end])
    if raw[-_CRC_BYTES:-4] != _CRC or zlib.crc32(raw[:-_CRC_BYTES]) != int.from_bytes(raw[-4:], "big"):
        raise DamagedError(path, where, "checksum differs")
    return Block(
        kind=header.kind,
        codec=header.codec,
        offset=header.offset,
        watermark=header.watermark,
        previous=header.previous,
        packed=raw[header.body_at - at : -_CRC_BYTES],
        raw=raw,
    )


def read_tail(data: bytes, at: int, *, sync: bytes, base: int = 0) -> Tail | None:
    """Return the tail at *at* in *data*, which begins at *base*; None if none is there."""
    raw = data[at : at + TAIL_BYTES]
    if len(raw) < TAIL_BYTES or raw[:2] != _PREVIOUS or raw[2:10] != sync:
        return None
    tail = Tail(catalog=int.from_bytes(raw[10:18], "big"), offset=int.from_bytes(raw[18:26], "big"), check=raw[26:30])
    agrees = zlib.crc32(raw[:30]) == int.from_bytes(raw[30:], "big")
    return tail if agrees and tail.offset == base + at and tail.catalog < tail.offset else None


def find_tail(data: bytes, end: int, *, sync: bytes, base: int = 0) -> Tail | None:
    """Return the last tail that ends at or before *end* in *data*, None if there is none."""
    pattern = _PREVIOUS + sync
    at = data.rfind(pattern, 0, end)
    while at >= 0:
        tail = read_tail(data, at, sync=sync, base=base) if at + TAIL_BYTES <= end else None
        if tail is not None:
            return tail
        at = data.rfind(pattern, 0, at + len(pattern) - 1)
    return None


def _header(data: bytes, at: int, path: str, where: int) -> _Header:
    """
    Return the header of the block at *at*.

    Raises:
        EndsInside: The data end before the header does.
        DamagedError: It is no block's.
    """
    match = _HEADER.match(data, at)
    if match is None:
        _refuse_header(data, at, path, where)
    kind, offset, watermark, length = map(_number, match.group("kind", "offset", "mark", "length"))
    codec, body_at = _PLAIN if match["plain"] else _ZSTD, match.end()
    if offset > _MAX_OFFSET or watermark > offset:
        raise DamagedError(path, where, _OUT_OF_RANGE)
    if body_at - at + length + _CRC_BYTES > MAX_BLOCK_BYTES:
        raise DamagedError(path, where, "the block is over the limit")
    return _Header(kind, codec, offset, watermark, match["previous"], body_at, length)


def _refuse_header(data: bytes, at: int, path: str, where: int) -> NoReturn:
    """Say what is wrong with what is no header: read item by item, which takes three times as long."""
    if data[at : at + 2] != BLOCK_START[: max(len(data) - at, 0)]:
        raise DamagedError(path, where, "no block begins here")
    reader = HeadReader(data, at + 2 + SYNC_BYTES, path, where)
    _, codec, _, _ = reader.numbers(4)
    reader.expect(_PREVIOUS)
    reader.take(32)
    if codec == _PLAIN:
        reader.expect(_EMBEDDED)
    reader.length()
    # Its shape is right, so it is the kind or the codec.
    raise DamagedError(path, where, _OUT_OF_RANGE)


def _number(head: bytes) -> int:
    """Return the number or length that the head of an item says."""
    return head[0] & 31 if len(head) == 1 else int.from_bytes(head[1:], "big")


class HeadReader:
    """
    Reads the heads of CBOR items in their shortest forms.

    Every method raises ``DamagedError`` for another form, `EndsInside` where
    the data end inside an item.
    """

    def __init__(self, data: bytes, at: int, path: str, where: int) -> None:
        self._data = data
        self.at = at
        self._path = path
        self._where = where

    def take(self, size: int) -> bytes:
        piece = bytes(self._data[self.at : self.at + size])
        if len(piece) < size:
            raise EndsInside
        self.at += size
        return piece

    def expect(self, literal: bytes) -> None:
        if self.take(len(literal)) != literal:
            raise DamagedError(self._path, self._where, "the block has another shape")

    def numbers(self, count: int) -> list[int]:
        return [self._shortest(0) for _ in range(count)]

    def length(self) -> int:
        return self._shortest(2)

    def _shortest(self, major: int) -> int:
        if self.at >= len(self._data):
            raise EndsInside
        first = self._data[self.at]
        self.at += 1
        info = first & 31
        if first >> 5 != major or info > 27:
            raise DamagedError(self._path, self._where, "the block has another shape")
        if info < 24:
            return info
        size = 1 << info - 24
        value = int.from_bytes(self.take(size), "big")
        if value < (24 if size == 1 else 1 << 4 * size):
            raise DamagedError(self._path, self._where, "a number is not in its shortest form")
        return value


def _expanded(packed: bytes, path: str, offset: int, most: int) -> bytes:
    zstd = _zstd()
    try:
        # The declared size decides before anything is allocated.
        declared = zstd.get_frame_info(packed).decompressed_size
        if declared is None or declared > most:
            raise DamagedError(path, offset, "a compressed body declares no size or one over the limit")
        decoder = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX})
        body: bytes = decoder.decompress(packed, max_length=declared + 1)
    except (zstd.ZstdError, MemoryError) as error:
        raise DamagedError(path, offset, f"a compressed body does not expand: {error}") from error
    if not decoder.eof or decoder.unused_data or len(body) != declared:
        raise DamagedError(path, offset, "a compressed body is not as long as it declares")
    return body


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
