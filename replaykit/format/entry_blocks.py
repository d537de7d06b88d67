"""
Blocks of entries: actions or checkpoints of one session, each cut out without decoding the others.

The body is ``{"l": lengths, "s": session, "b": blobs, "a": [entries]}`` with
``"c"`` in place of ``"a"`` for checkpoints.  The lengths, four bytes each, come
first and the entries last, so where each entry stands follows from the
lengths.  A value of `BLOB_BYTES` or more stands outside, in BLOB blocks that
are named by its hash; that bound is part of the format, since the bytes of an
entry make its leaf in the session's tree.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import attrs
from blake3 import blake3

from replaykit.errors import DamagedError, UsageError
from replaykit.format.block import Block, EndsInside, HeadReader, cbor_head
from replaykit.format.entries import Entry
from replaykit.format.fields import Fields
from replaykit.format.index import Place
from replaykit.format.strict import (
    decode_body,
    decode_together,
    decode_value,
    demand_plain,
    encode_body,
    encode_plain,
    encode_value,
    is_small_enough,
)

__all__ = [
    "BLOB_BYTES",
    "MAX_BLOB_BYTES",
    "BlobPiece",
    "EncodedEntry",
    "EntryBlock",
    "MOST_ENTRIES",
    "MAX_BLOB_BYTES",
    "blob_bodies",
    "blob_piece",
    "blob_references",
    "decode_entry_block",
    "encode_action",
    "encode_plain_actions",
    "encode_entry_block",
    "joined_blob",
    "names_values",
    "with_blobs",
]

BLOB_BYTES = 16 << 10
"""A value whose CBOR is this long stands in a BLOB of its own."""

MAX_BLOB_BYTES = 64 << 20
"""The most bytes of such a value: neither written nor read beyond that."""

MOST_ENTRIES = 1 << 16
"""As many entries are in one block at most: what a few bytes expand to is cut into no more."""

_PIECE_BYTES = 8 << 20
_REFERENCES = {"in": "inb", "out": "outb"}
_VALUES = {reference: key for key, reference in _REFERENCES.items()}
_NO_BLOBS: Mapping[bytes, bytes] = {}
_HASH_BYTES = 32
_MOST_SEQUENCES = 1 << 48


class EncodedEntry(dict[str, Any]):
    """
    An entry that is encoded already.

    As a map it says only its sequence, kind, time and flags; ``raw`` is all
    of it but for the ``blobs``, by their hashes.
    """

    __slots__ = ("blobs", "raw")

    def __init__(self, says: Mapping[str, Any], raw: bytes, blobs: Mapping[bytes, bytes]) -> None:
        dict.__init__(self, says)
        self.raw = raw
        self.blobs = blobs

    @classmethod
    def of(cls, entry: Entry, raw: bytes, blobs: Mapping[bytes, bytes]) -> EncodedEntry:
        """Return the action *entry* as *raw* and *blobs*."""
        says = {"i": entry["i"], "k": entry["k"], "t": entry.get("t", 0)}
        if "fl" in entry:
            says["fl"] = entry["fl"]
        return cls(says, raw, blobs)


# -- writing ------------------------------------------------------------------------


def encode_action(entry: Entry) -> EncodedEntry:
    """
    Return the action *entry* encoded, its large values as blobs.

    Raises:
        UsageError: It has no sequence or kind, or holds what no recording can hold, or a value over the limit.
    """
    if isinstance(entry, EncodedEntry):
        return entry
    sequence, kind = entry.get("i"), entry.get("k")
    if type(sequence) is not int or not 0 <= sequence < _MOST_SEQUENCES or type(kind) is not str:
        raise UsageError('An action entry needs a sequence "i" and a kind "k"')
    return _encoded(entry, encode_value(dict(entry)))


def encode_plain_actions(entries: Sequence[Entry]) -> list[EncodedEntry]:
    """Return the actions *entries* encoded like `encode_action` does; they are sound and plain for certain."""
    return list(map(_encoded, entries, list(map(encode_plain, entries))))


def _encoded(entry: Entry, raw: bytes) -> EncodedEntry:
    return EncodedEntry.of(entry, raw, _NO_BLOBS) if len(raw) < BLOB_BYTES else _encoded_apart(entry, raw)


def _encoded_apart(entry: Entry, raw: bytes) -> EncodedEntry:
    """Return *entry*, which is too long for one block to hold many of it, without its large values."""
    blobs: dict[bytes, bytes] = {}
    if not is_small_enough(raw):
        entry = _without_too_much(entry)
        raw = encode_value(entry)
    if len(raw) >= BLOB_BYTES:
        shorter = _without_large_values(entry, blobs)
        raw = encode_value(shorter) if blobs else raw
    return EncodedEntry.of(entry, raw, blobs)


def _without_large_values(entry: Entry, blobs: dict[bytes, bytes]) -> dict[str, Any]:
    shorter = {}
    for key, value in entry.items():
        encoded = encode_value(value) if key in _REFERENCES else b""
        if len(encoded) < BLOB_BYTES:
            shorter[key] = value
            continue
        if len(encoded) > MAX_BLOB_BYTES:
            raise UsageError(f"A value of {len(encoded)} bytes exceeds the limit of {MAX_BLOB_BYTES}")
        digest = blake3(encoded).digest()
        blobs[digest] = encoded
        shorter[_REFERENCES[key]] = [digest, len(encoded)]
    return shorter


def _without_too_much(entry: Entry) -> dict[str, Any]:
    """Return *entry* without values that hold more lists and maps than readers bear; a flag then says so."""
    kept = dict(entry)
    for key in _REFERENCES:
        if key in kept and not is_small_enough(encode_value(kept[key])):
            kept[key] = {"~t": "deep", "~v": ["cut"]}
            kept["fl"] = sorted({*kept.get("fl", ()), "cut", "unreplayable"})
    return kept


def encode_entry_block(
    session_id: bytes, key: str, entries: Sequence[bytes], *, blobs: Mapping[bytes, Sequence[Place]] | None = None
) -> bytes:
    """Return the body of a block of encoded *entries* under *key*; *blobs* says where those that they name are."""
    body: dict[str, Any] = {"l": struct.pack(f">{len(entries)}I", *map(len, entries)), "s": session_id}
    if blobs:
        body["b"] = [
            item for digest, places in blobs.items() for place in places for item in (digest, place.offset, place.size)
        ]
    return b"".join((encode_body({**body, key: []})[:-1], cbor_head(4, len(entries)), *entries))


def blob_bodies(session_id: bytes, digest: bytes, data: bytes) -> Iterator[bytes]:
    """Yield the bodies of the BLOB blocks that hold *data*, in order."""
    pieces = range(0, len(data), _PIECE_BYTES)
    for number, start in enumerate(pieces):
        piece = data[start : start + _PIECE_BYTES]
        yield encode_body({"s": session_id, "h": digest, "n": len(data), "q": number, "of": len(pieces), "b": piece})


# -- reading ------------------------------------------------------------------------


@attrs.frozen
class EntryBlock:
    """
    The entries of one block, as bytes.

    ``blobs`` says where the values are that stand outside.
    """

    session_id: bytes
    raws: Sequence[bytes]
    blobs: Mapping[bytes, Sequence[Place]]
    path: str
    offset: int
    size: int

    def __len__(self) -> int:
        return len(self.raws)

    def entry(self, position: int) -> dict[str, Any]:
        """
        Return one entry, its blobs as references.

        Raises:
            DamagedError: It is no plain map.
        """
        return decode_body(self.raws[position], path=self.path, offset=self.offset)

    def some(self, start: int, stop: int, mark: bytes) -> Sequence[dict[str, Any]]:
        """
        Return the entries from *start* to *stop*, decoded at once; nothing where they are long or one may be damaged.

        *mark* is 8 random bytes, made after the block was read.
        """
        together = decode_together(self.raws[start:stop], mark)
        try:
            demand_plain(together)
        except DamagedError:
            return ()
        return together

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield all entries in order."""
        return map(self.entry, range(len(self.raws)))


def decode_entry_block(block: Block, key: str, session_id: bytes | None = None, *, path: str = "") -> EntryBlock:
    """
    Return the entries under *key* of a block of *session_id*, or of any session.

    Raises:
        DamagedError: It belongs to another session, or its lengths and its entries disagree.
    """
    body = block.body(path=path)
    raws = _cut(body, path, block.offset)
    if raws is None:
        # Written before the lengths were: one-by-one access has its price,
        # and all of it is decoded at once.
        fields = Fields(decode_body(body, path=path, offset=block.offset), path, block.offset)
        raws = _encoded_again(fields, key)
    else:
        head = body[: len(body) - sum(map(len, raws)) - len(cbor_head(4, len(raws)))] + b"\x80"
        fields = Fields(decode_body(head, path=path, offset=block.offset), path, block.offset)
        fields.items(key)
    found = fields.octets("s", 16)
    if session_id not in (None, found):
        raise DamagedError(path, block.offset, "the block belongs to another session")
    return EntryBlock(found, raws, _places(fields, block), path, block.offset, len(body))


def _encoded_again(fields: Fields, key: str) -> list[bytes]:
    try:
        return [encode_value(entry) for entry in fields.items(key)]
    except UsageError as error:
        # The decoder lets two levels more pass than any writer makes.
        raise DamagedError(fields.path, fields.offset, str(error)) from error


def _cut(body: bytes, path: str, offset: int) -> list[bytes] | None:
    """Return the entries of *body*, None where it has no lengths."""
    if body[1:3] != b"\x61l":
        return None
    reader = HeadReader(body, 3, path, offset)
    try:
        packed_bytes = reader.length()
        if packed_bytes > 4 * MOST_ENTRIES:
            raise DamagedError(path, offset, "a block holds more entries than any recorder writes")
        packed = reader.take(packed_bytes)
        lengths = struct.unpack(f">{len(packed) // 4}I", packed)
    except (EndsInside, struct.error) as error:
        raise DamagedError(path, offset, "the lengths of a block are malformed") from error
    first = len(body) - sum(lengths)
    array = cbor_head(4, len(lengths))
    if first < reader.at or body[first - len(array) : first] != array:
        raise DamagedError(path, offset, "the lengths of a block do not fit its entries")
    starts = list(accumulate(lengths, initial=first))
    return [body[start:stop] for start, stop in zip(starts, starts[1:], strict=False)]


def _places(fields: Fields, block: Block) -> dict[bytes, list[Place]]:
    stored = fields.items("b")
    found: dict[bytes, list[Place]] = {}
    if len(stored) % 3:
        raise fields.malformed("b")
    for digest, offset, size in zip(stored[::3], stored[1::3], stored[2::3], strict=True):
        if type(digest) is not bytes or not type(offset) is type(size) is int:
            raise fields.malformed("b")
        # Blobs stand before what names them, and the pieces of one behind
        # each other: so nothing is read twice or in circles.
        if len(digest) != _HASH_BYTES or offset < 0 or size <= 0 or offset + size > block.offset:
            raise fields.malformed("b")
        pieces = found.setdefault(digest, [])
        # Pieces ascend: none is named, and expanded, again and again.
        if pieces and offset < pieces[-1].offset + pieces[-1].size:
            raise fields.malformed("b")
        pieces.append(Place(offset, size))
    return found


@attrs.frozen(kw_only=True)
class BlobPiece:
    """One BLOB block: piece *number* of *pieces* of a value that has *total* bytes and this *digest*."""

    session_id: bytes
    digest: bytes
    total: int
    number: int
    pieces: int
    data: bytes


def blob_piece(block: Block, *, path: str = "") -> BlobPiece:
    """
    Return what a BLOB block holds.

    Raises:
        DamagedError: A field is missing or malformed.
    """
    fields = Fields(decode_body(block.body(path=path), path=path, offset=block.offset), path, block.offset)
    data = fields.get("b")
    if type(data) is not bytes:
        raise fields.malformed("b")
    return BlobPiece(
        session_id=fields.octets("s", 16),
        digest=fields.octets("h", _HASH_BYTES),
        total=fields.integer("n"),
        number=fields.integer("q"),
        pieces=fields.integer("of"),
        data=data,
    )


def joined_blob(digest: bytes, pieces: Iterable[BlobPiece], *, path: str = "", offset: int = 0) -> bytes:
    """
    Return the bytes of a blob from its *pieces*; the first that does not fit is the last that is asked for.

    Raises:
        DamagedError: A piece is missing, or the bytes have another length or hash.
    """
    held: list[bytes] = []
    size = total = 0
    for number, piece in enumerate(pieces):
        total = piece.total
        size += len(piece.data)
        if piece.digest != digest or piece.number != number or size > total or total > MAX_BLOB_BYTES:
            raise DamagedError(path, offset, "a piece of a value does not fit")
        held.append(piece.data)
    data = b"".join(held)
    if not held or size != total or blake3(data).digest() != digest:
        raise DamagedError(path, offset, "a value is not what its hash says")
    return data


def names_values(entry: Mapping[str, Any]) -> bool:
    """Return whether *entry* may name values that stand outside, which `blob_references` then tells."""
    return "inb" in entry or "outb" in entry


def blob_references(entry: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the hashes of the values of *entry* that stand outside, by the key that names them."""
    found = {}
    for reference in _VALUES:
        named = entry.get(reference)
        if type(named) is list and named and type(named[0]) is bytes:
            found[reference] = named[0]
    return found


def with_blobs(entry: Mapping[str, Any], blobs: Mapping[bytes, bytes], *, path: str = "", offset: int = 0) -> Entry:
    """
    Return *entry* with its values in place of their references.

    Raises:
        DamagedError: One of them is missing or is no plain value.
    """
    references = blob_references(entry)
    if not references:
        return entry
    whole = {}
    for key, value in entry.items():
        if key not in references:
            whole[key] = value
            continue
        data = blobs.get(references[key])
        if data is None:
            raise DamagedError(path, offset, "a value that stands outside its action is missing")
        whole[_VALUES[key]] = decode_value(data, path=path, offset=offset)
    return whole
