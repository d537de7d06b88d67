"""What is fuzzed: each target takes any bytes, and may raise nothing but our own errors."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import attrs
from fuzz.shapes import NUMBERS, changed_bytes, changed_log, changed_segment, changed_value
from hostile.live_logs import abandoned_log, recovered
from hostile.memory_disk import MemoryBytes, MemoryDisk
from hostile.reading import NAME
from hostile.samples import SHAPES, made
from importers.samples import sample, segment_of, toc_of

from replaykit.errors import ReplaykitError
from replaykit.format.actions import action_from_entry, checkpoint_from_entry
from replaykit.format.block import MAX_BLOCK_BYTES, NO_BLOCK, Block, block_claims, find_tail, read_block
from replaykit.format.catalog import catalog_of
from replaykit.format.entry_blocks import decode_entry_block
from replaykit.format.segment import ACTS, CATALOG, SEAL, index_of
from replaykit.format.strict import decode_value, encode_value
from replaykit.importers.memvid.entries import ImportedEntries
from replaykit.importers.memvid.segment import read_active, read_segment
from replaykit.importers.memvid.toc import manifest_forward
from replaykit.model import ReplayManifest
from replaykit.storage.checking import segment_problems
from replaykit.storage.damaged_segments import surveyed
from replaykit.storage.file_store import FileStore
from replaykit.storage.segment_file import SegmentFile
from replaykit.storage.stored_session import SegmentSession

__all__ = ["TARGETS", "Target"]

_AT = 1 << 40
SESSION = UUID(int=7)


@attrs.frozen
class Target:
    """
    One thing to fuzz.

    Attributes:
        run: Takes the bytes; ReplaykitError is as good as a return.
        change: Makes other bytes of some, that get past the checksums.
        seeds: Makes inputs to begin with, in a folder of its own.
    """

    run: Callable[[bytes], None]
    change: Callable[[bytes, random.Random], bytes]
    seeds: Callable[[Path], list[bytes]]

    def __call__(self, data: bytes) -> None:
        """Run it; raise for everything that a reader must not raise."""
        try:
            self.run(data)
        except ReplaykitError:
            return


def _block(kind: int, packed: bytes, codec: int = 0) -> Block:
    return Block(kind=kind, codec=codec, offset=_AT, watermark=0, previous=NO_BLOCK, packed=packed, raw=packed)


def _blocks(data: bytes) -> None:
    block_claims(data, 0)
    find_tail(data, len(data), sync=data[:8])
    block = read_block(data, 0)
    assert block is None or block.size <= len(data)


def _look_at(session: SegmentSession) -> None:
    for entry in session.actions():
        repr(action_from_entry(entry))
    for entry in session.checkpoints:
        repr(checkpoint_from_entry(entry, SESSION))
    _ = (session.gaps, session.opening)


def _segment(data: bytes) -> None:
    source = MemoryBytes(data)
    survey = surveyed(source)
    for found in survey.sessions.values():
        try:
            _look_at(SegmentSession(None, [found.piece]))
        except ReplaykitError:
            continue
    segment_problems(SegmentFile(source))


def _store(data: bytes) -> None:
    store = FileStore(NAME, read_only=True, files=MemoryDisk(**{NAME: data}))
    store.verify()
    for found in store.cards():
        try:
            _look_at(store.read(found.session_id))
        except ReplaykitError:
            continue


def _writer(data: bytes) -> None:
    store = FileStore(NAME, files=MemoryDisk(**{NAME: data}))
    try:
        store.compact()
    finally:
        store.close()


def _catalog(data: bytes) -> None:
    assert len(catalog_of(_block(CATALOG, data)).records) <= len(data)


def _index(data: bytes) -> None:
    index = index_of(_block(SEAL, data), SESSION.bytes)
    assert sum(len(block.runs) for block in index.actions) <= len(data)


def _entries(data: bytes) -> None:
    block = decode_entry_block(_block(ACTS, data), "a")
    assert sum(map(len, block.raws)) <= len(data) * 2
    for entry in block.entries():
        repr(action_from_entry(entry))


def _strict(data: bytes) -> None:
    repr(decode_value(data))


def _zstd(data: bytes) -> None:
    assert len(_block(ACTS, data, codec=1).body()) <= MAX_BLOCK_BYTES


def _memvid_segment(data: bytes) -> None:
    manifest = ReplayManifest(segment_offset=4096, segment_size=len(data), session_count=5, total_actions=0, version=1)
    for session in read_segment(data, NAME, manifest).sessions:
        imported = ImportedEntries(session, session.session_id, {})
        repr((list(session.actions), imported.original, imported.sealing))
        for entry in (*imported.actions(), *imported.checkpoints):
            encode_value(dict(entry))


def _memvid_active(data: bytes) -> None:
    read_active(data, NAME)


def _memvid_toc(data: bytes) -> None:
    manifest_forward(data, NAME, 4096)


_STORE_OF_LOG: list[tuple[UUID, bytes]] = []


def _log(data: bytes) -> None:
    session_id, store = _STORE_OF_LOG[0]
    recovered(session_id, store, data)


# -- where they begin ---------------------------------------------------------------------


def _files(folder: Path) -> list[bytes]:
    return [made(shape, folder) for shape in SHAPES]


def _bodies_of(*kinds: int) -> Callable[[Path], list[bytes]]:
    def bodies(folder: Path) -> list[bytes]:
        found = []
        for data in _files(folder):
            segment = SegmentFile(MemoryBytes(data))
            scanned = segment.scan(segment.head.end, segment.size())
            found += [each.body() for each in scanned if isinstance(each, Block) and (each.kind in kinds or not kinds)]
        return found

    return bodies


def _packed(folder: Path) -> list[bytes]:
    from replaykit.format.block import encode_block

    raws = [
        encode_block(ACTS, bytes(size), sync=bytes(8), offset=0, watermark=0, previous=NO_BLOCK) for size in (300, 9000)
    ]
    return [read_block(raw).packed for raw in raws]  # type: ignore[union-attr]  # it was just made


def _raw_blocks(folder: Path) -> list[bytes]:
    from replaykit.format.block import encode_block

    bodies = _bodies_of()(folder)[:20]
    return [encode_block(3, body, sync=bytes(8), offset=0, watermark=0, previous=NO_BLOCK) for body in bodies]


def _memvid_segments(_folder: Path) -> list[bytes]:
    return [segment_of(start) for start in ("01", "04", "11", "17")]


def _changed_memvid(data: bytes, chance: random.Random) -> bytes:
    """Change a number of 8 bytes, most often, and tell the segment its size, so that it is read at all."""
    out = bytearray(data if chance.random() < 0.7 else changed_bytes(data, chance))
    if len(out) > 32 and chance.random() < 0.7:
        at = chance.randrange(24, len(out) - 7)
        out[at : at + 8] = (chance.choice(NUMBERS) % 2**64).to_bytes(8, "little")
    out[12:24] = (5).to_bytes(4, "little") + len(out).to_bytes(8, "little")
    return bytes(out)


def _memvid_tocs(_folder: Path) -> list[bytes]:
    return [toc_of(start) for start in ("01", "04", "10", "17")]


def _logs(folder: Path) -> list[bytes]:
    session_id, store, log = abandoned_log(folder)
    _STORE_OF_LOG[:] = [(session_id, store)]
    return [log]


def _changed_cbor(data: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.5:
        return changed_bytes(data, chance)
    try:
        return encode_value(changed_value(decode_value(data), chance))
    except ReplaykitError:
        return changed_bytes(data, chance)


TARGETS = {
    "block": Target(_blocks, changed_bytes, _raw_blocks),
    "segment": Target(_segment, changed_segment, _files),
    "store": Target(_store, changed_segment, _files),
    "writer": Target(_writer, changed_segment, _files),
    "catalog": Target(_catalog, _changed_cbor, _bodies_of(CATALOG)),
    "index": Target(_index, _changed_cbor, _bodies_of(SEAL, 13)),
    "entries": Target(_entries, _changed_cbor, _bodies_of(ACTS)),
    "strict": Target(_strict, _changed_cbor, _bodies_of()),
    "zstd": Target(_zstd, changed_bytes, _packed),
    "log": Target(_log, changed_log, _logs),
    "memvid-segment": Target(_memvid_segment, _changed_memvid, _memvid_segments),
    "memvid-active": Target(_memvid_active, changed_bytes, lambda _folder: [sample("18")]),
    "memvid-toc": Target(_memvid_toc, changed_bytes, _memvid_tocs),
}
