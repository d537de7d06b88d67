"""
Changes recorded bytes so that the change gets past the checksums.

A segment is taken apart into kinds and bodies; one body is changed, as bytes
or as a value; then all of it is put together again with right offsets,
checksums, chain and places.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import cbor2

from replaykit.errors import ReplaykitError
from replaykit.format import records
from replaykit.format.block import MAGIC, SYNC_BYTES, block_size, read_block
from replaykit.format.index import BlockRuns, Place
from replaykit.format.index_columns import decode_blocks, encode_blocks
from replaykit.format.segment import CATALOG, KINDS, SegmentWriter

__all__ = ["changed_bytes", "changed_log", "changed_segment", "changed_value", "resealed"]

NUMBERS = (0, 1, -1, 23, 24, 255, 256, 65535, 2**16, 2**31, 2**32, 2**47, 2**48, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
VALUES: tuple[Any, ...] = (None, True, 1.5, "", "x", b"", bytes(16), bytes(32), [], {}, [[]], {"x": 1}, *NUMBERS)
HEADS = (
    b"\x9b" + b"\xff" * 8,
    b"\xbb\x40" + bytes(7),
    b"\x5a\x7f\xff\xff\xff",
    b"\xc2",
    b"\xd8\x1c",
    b"\x9f",
    b"\xff",
    b"\xf7",
)


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    """Return *data* with a few bytes flipped, cut, doubled or replaced."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(out) + 1)
        what = chance.randrange(5)
        if what == 0 and at < len(out):
            out[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            del out[at : at + chance.randint(1, 16)]
        elif what == 2:
            out[at:at] = out[at : at + chance.randint(1, 64)]
        elif what == 3:
            out[at:at] = chance.choice(HEADS)
        elif at < len(out):
            out[at] = chance.randrange(256)
    return bytes(out)


def changed_value(value: Any, chance: random.Random, depth: int = 0) -> Any:
    """Return a decoded value with something in it replaced, dropped or doubled."""
    if depth > 8 or chance.random() < 0.15 or not isinstance(value, (dict, list)) or not value:
        return (
            chance.choice(VALUES)
            if not isinstance(value, int) or chance.random() < 0.5
            else value + chance.choice((-1, 1))
        )
    if isinstance(value, dict):
        key = chance.choice(list(value))
        out = dict(value)
        if chance.random() < 0.1:
            del out[key]
        else:
            out[key] = changed_value(value[key], chance, depth + 1)
        return out
    at = chance.randrange(len(value))
    if chance.random() < 0.2:
        return [*value[:at], *[value[at]] * chance.choice((0, 2, 40)), *value[at + 1 :]]
    return [*value[:at], changed_value(value[at], chance, depth + 1), *value[at + 1 :]]


# -- segments --------------------------------------------------------------------------


def _apart(data: bytes) -> list[tuple[int, Place, bytes]]:
    """Return kind, place and body of each block up to the first that is none; tails and zeros are left out."""
    found = []
    at = len(MAGIC)
    sync = data[len(MAGIC) + 2 : len(MAGIC) + 2 + SYNC_BYTES]
    while at < len(data):
        try:
            size = block_size(data, at)
            block = read_block(data, at, sync=sync) if size else None
            if block is None:
                break
            found.append((block.kind, Place(at, block.size), block.body()))
            at = block.end
        except ReplaykitError:
            at += 34 if data[at : at + 2] == b"\x58\x20" else 1
    return found


def changed_segment(data: bytes, chance: random.Random) -> bytes:
    """Return a segment of which one body is changed, whole again in all else."""
    blocks = _apart(data)
    if not blocks or chance.random() < 0.1:
        return changed_bytes(data, chance)
    victim = chance.randrange(len(blocks))
    kind, place, body = blocks[victim]
    blocks[victim] = (kind, place, _changed_body(body, chance))
    if chance.random() < 0.1:
        blocks.insert(chance.randrange(len(blocks) + 1), chance.choice(blocks))
    if chance.random() < 0.05:
        blocks[victim] = (chance.choice(sorted(KINDS)), place, body)
    whole = resealed(blocks, data[len(MAGIC) + 2 : len(MAGIC) + 2 + SYNC_BYTES])
    return changed_bytes(whole, chance) if chance.random() < 0.1 else whole


def _changed_body(body: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.4:
        return changed_bytes(body, chance)
    with suppress(cbor2.CBORError, ValueError, OverflowError, RecursionError):
        value = cbor2.loads(body)
        changed = changed_value(value, chance)
        if isinstance(changed, dict) and isinstance(changed.get("a"), list) and chance.random() < 0.8:
            lengths = (len(cbor2.dumps(each)).to_bytes(4, "big") for each in changed["a"])
            changed = {"l": b"".join(lengths), **{key: item for key, item in changed.items() if key != "l"}}
        return cbor2.dumps(changed)
    return changed_bytes(body, chance)


def resealed(blocks: list[tuple[int, Place, bytes]], sync: bytes) -> bytes:
    """Return blocks as a segment: right places, checksums and chain, a tail behind each catalog."""
    writer = SegmentWriter(sync=sync, offset=0, previous=bytes(32), watermark=0)
    writer.add_magic()
    moved: dict[Place, Place] = {}
    for kind, place, body in blocks:
        moved[place] = writer.add(kind, _moved_body(body, moved))
        if kind == CATALOG:
            writer.add_tail(moved[place].offset, writer.previous)
    return writer.take()


def _moved_body(body: bytes, moved: dict[Place, Place]) -> bytes:
    if not any(name in body[:200] + body[-200:] for name in (b"\x64open", b"\x62at", b"\x61b")):
        return body
    with suppress(cbor2.CBORError, ValueError, OverflowError, RecursionError, TypeError, AttributeError, KeyError):
        value = cbor2.loads(body)
        _move(value, moved)
        return cbor2.dumps(value)
    return body


def _move(value: dict[str, Any], moved: dict[Place, Place]) -> None:
    for key in ("open", "prev", "ck", "gp"):
        if isinstance(value.get(key), list):
            value[key] = _moved_pairs(value[key], moved)
    for record in value.get("add", ()):
        if isinstance(record, dict) and "at" in record:
            record["at"] = _moved_pairs(record["at"], moved)
    if isinstance(value.get("b"), list):
        triples = value["b"]
        for at in range(0, len(triples) - 2, 3):
            triples[at + 1 : at + 3] = _moved_pairs(triples[at + 1 : at + 3], moved)
    if "idx" in value:
        with suppress(ReplaykitError):
            found = decode_blocks(value["idx"], end=1 << 48)
            value["idx"] = encode_blocks([BlockRuns(moved.get(each.place, each.place), each.runs) for each in found])


def _moved_pairs(numbers: list[Any], moved: dict[Place, Place]) -> list[Any]:
    out = []
    for offset, size in zip(numbers[::2], numbers[1::2], strict=False):
        place = moved.get(Place(offset, size), Place(offset, size))
        out += [place.offset, place.size]
    return out


# -- live logs -------------------------------------------------------------------------------


def changed_log(data: bytes, chance: random.Random) -> bytes:
    """Return a live log of which one record is changed, with a right checksum."""
    found = [each for each in records.read_records(lambda at, size: data[at : at + size], 0, len(data))]
    bodies = [bytes(each.body) for each in found if isinstance(each, records.Record)]
    if not bodies or chance.random() < 0.1:
        return changed_bytes(data, chance)
    victim = chance.randrange(len(bodies))
    body = bodies[victim]
    changer: Callable[[bytes, random.Random], bytes] = changed_bytes
    if body[0] in (records.INTENT, records.ACTION) or chance.random() < 0.3:
        bodies[victim] = changer(body, chance) or b"\x01"
    else:
        bodies[victim] = body[:1] + _changed_body(body[1:], chance)
    return b"".join(records.sealed(each) for each in bodies)
