"""Files made to keep a reader busy: the work grows with the file, not with its square, and stays in memory."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from functools import cache
from uuid import uuid4

import cbor2
import pytest
from effort import Figure, effort
from hostile.forging import SESSION, SYNC, Forgery, acts_body, at_most_seconds, card, plain_session
from hostile.memory_disk import MemoryBytes, MemoryDisk
from hostile.reading import NAME

from replaykit.errors import DamagedError, StorageError
from replaykit.format import records
from replaykit.format.block import BLOCK_START, cbor_head, encode_block
from replaykit.format.segment import CATALOG, GAP, PART
from replaykit.storage.checking import segment_problems
from replaykit.storage.damaged_segments import surveyed
from replaykit.storage.file_store import FileStore
from replaykit.storage.segment_file import SegmentFile

MIB = 1 << 20
LARGEST = max(MIB // 16, effort(4 * MIB))
SIZES = (LARGEST // 4, LARGEST // 2, LARGEST)


def _block_head(declared: int) -> bytes:
    head = BLOCK_START + SYNC + bytes((3, 0)) + cbor_head(0, 12) + cbor_head(0, 0) + b"\x58\x20" + bytes(32)
    return head + b"\xd8\x18" + cbor_head(2, declared)


def fake_heads(size: int, declared: int) -> bytes:
    """Return heads that name their own place and claim *declared* bytes of body, one after the other."""
    forgery = Forgery()
    plain_session(forgery)
    while forgery.offset < size:
        head = BLOCK_START + SYNC + bytes((3, 0)) + cbor_head(0, forgery.offset) + cbor_head(0, 0) + b"\x58\x20"
        forgery.raw(head + bytes(32) + b"\xd8\x18" + cbor_head(2, declared or max(1, size - forgery.offset - 200)))
    return forgery.bytes()


def fake_tails(size: int, catalog: int | None = None) -> bytes:
    """Return well-formed tails that all name one large catalog, which is not the one they mean."""
    forgery = Forgery()
    place = forgery.catalog([{"pt": 1, "card": card(meta={"x": bytes(size // 2)}), "at": [12, 20]}])
    while forgery.offset < size:
        forgery.fake_tail(place.offset if catalog is None else catalog)
    return forgery.bytes()


def tail_patterns(size: int) -> bytes:
    """Return what tails begin with, over and over."""
    forgery = Forgery()
    plain_session(forgery)
    forgery.raw((b"\x58\x20" + SYNC) * ((size - forgery.offset) // 10))
    return forgery.bytes()


def zeros_between_tails(size: int) -> bytes:
    """Return tails with some zeros between them."""
    forgery = Forgery()
    place = forgery.catalog([{"pt": 1, "card": card(), "at": [12, 20]}])
    while forgery.offset < size:
        forgery.fake_tail(place.offset)
        forgery.raw(bytes(7))
    return forgery.bytes()


def holes_between_blocks(size: int) -> bytes:
    """Return small whole blocks with one byte of damage between them."""
    forgery = Forgery()
    while forgery.offset < size:
        forgery.add(GAP, {"at": 0, "why": "", "b": b""})
        forgery.raw(b"\xff")
    return forgery.bytes()


def chained_catalogs(size: int) -> bytes:
    """Return catalogs of one commit each, each based on the one before."""
    forgery = Forgery()
    base = number = 0
    while forgery.offset < size:
        number += 1
        base = forgery.catalog([{"pt": 1, "s": uuid4().bytes}], number=number, base=base).offset
    return forgery.bytes()


def chained_indexes(size: int) -> bytes:
    """Return index blocks, each of which names the one before."""
    forgery = Forgery()
    place = forgery.add(GAP, {})
    earlier = None
    while forgery.offset < size:
        body = {"s": SESSION.bytes, "open": [place.offset, place.size], "idx": dict.fromkeys("ozfnh", [])}
        if earlier is not None:
            body["prev"] = [earlier.offset, earlier.size]
        earlier = forgery.add(PART, body)
    assert earlier is not None
    forgery.catalog([{"pt": 1, "at": [earlier.offset, earlier.size], "card": card()}])
    return forgery.bytes()


FILES: dict[str, Callable[[int], bytes]] = {
    "block heads that claim little": lambda size: fake_heads(size, 1),
    "block heads that claim much": lambda size: fake_heads(size, size // 2),
    "block heads that claim the rest": lambda size: fake_heads(size, 0),
    "tails": fake_tails,
    "tails of nothing": lambda size: fake_tails(size, 13),
    "what tails begin with": tail_patterns,
    "zeros between tails": zeros_between_tails,
    "holes between blocks": holes_between_blocks,
    "a chain of catalogs": chained_catalogs,
    "a chain of indexes": chained_indexes,
}


def listed(source: MemoryBytes) -> None:
    store = FileStore(NAME, read_only=True, files=MemoryDiskOf(source))
    for found in store.cards():
        store.read(found.session_id)


class MemoryDiskOf(MemoryDisk):
    """The disk that has one file, whose reads are counted."""

    def __init__(self, source: MemoryBytes) -> None:
        super().__init__(**{NAME: source.data})
        self._source = source

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        return self._source.read(offset, size)


def checked(source: MemoryBytes) -> None:
    segment_problems(SegmentFile(source))


@pytest.mark.parametrize("read", [listed, checked, surveyed], ids=["open and list", "verify", "salvage"])
@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_g19_bytes_read_grow_with_the_file(
    make: Callable[[int], bytes], read: Callable[[MemoryBytes], object], figure: Figure
) -> None:
    """Twice the file costs about twice the bytes read, and never more than a few dozen times its size."""
    costs = []
    with at_most_seconds(600):
        for size in SIZES:
            source = MemoryBytes(make(size))
            try:
                read(source)
            except StorageError:
                pass
            costs.append(source.bytes_read / len(source.data))
    figure("G19", f"bytes read per byte of the file: {', '.join(f'{cost:.1f}' for cost in costs)}")
    assert max(costs) < 100
    assert costs[-1] < 3 * costs[0] + 3


@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_g19_memory_is_bounded(make: Callable[[int], bytes]) -> None:
    """64 MiB and four times the file at most, however it is read."""
    data = make(LARGEST)
    for read in (listed, checked, surveyed):
        source = MemoryBytes(data)
        tracemalloc.start()
        try:
            with at_most_seconds(600):
                read(source)
        except StorageError:
            pass
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak <= (64 << 20) + 4 * len(data), f"{read.__name__}: {peak >> 20} MiB"


# -- live logs ----------------------------------------------------------------------------


def magic_only(size: int) -> bytes:
    return records.MAGIC * (size // 4)


def records_that_claim_the_rest(size: int) -> bytes:
    return b"".join(records.PREFIX.pack(records.MAGIC, size - at - 12, 1) for at in range(0, size - 12, 12))


def records_that_claim_a_gibibyte(size: int) -> bytes:
    return b"".join(records.PREFIX.pack(records.MAGIC, 1 << 30, 1) for _ in range(0, size, 12))


def records_that_claim_half(size: int) -> bytes:
    return b"".join(records.PREFIX.pack(records.MAGIC, size // 2, 1) for _ in range(0, size, 12))


LOGS = [magic_only, records_that_claim_the_rest, records_that_claim_a_gibibyte, records_that_claim_half]


@pytest.mark.parametrize("make", LOGS)
def test_g19_a_hostile_log_is_read_in_linear_time(make: Callable[[int], bytes], figure: Figure) -> None:
    """What looks like a record and is none is checked for up to twice the log's size."""
    costs = []
    with at_most_seconds(60):
        for size in (MIB // 8, MIB // 4, MIB // 2):
            source = MemoryBytes(make(size))
            found = list(records.read_records(source.read, 0, size))
            assert sum(each.end - each.offset for each in found) == size
            costs.append(source.bytes_read / size)
    figure("G19", f"bytes read per byte of the log: {', '.join(f'{cost:.1f}' for cost in costs)}")
    assert max(costs) < 20


def test_a_record_behind_hostile_bytes_is_found(tmp_path: object) -> None:
    """The budget is for what is checked in vain: true records after a few fakes are read."""
    body = records.map_body(records.NOTE, {"a": 1})
    fakes = records.PREFIX.pack(records.MAGIC, 20, 1) * 3
    log = fakes + records.sealed(body) + fakes + records.sealed(body)
    found = list(records.read_records(lambda at, size: log[at : at + size], 0, len(log)))
    assert [type(each).__name__ for each in found] == ["Damage", "Record", "Damage", "Record"]


# -- indexes that lie -----------------------------------------------------------------------


def opened(data: bytes) -> FileStore:
    return FileStore(NAME, read_only=True, files=MemoryDisk(**{NAME: data}))


def test_ranges_of_2_to_47_sequences_cost_nothing() -> None:
    """Whatever asks for the actions hears that the block holds others."""
    forgery = Forgery()
    plain_session(forgery, index={"n": [1 << 47]}, says={"n": 1 << 47})
    store = opened(forgery.bytes())
    with at_most_seconds(20):
        session = store.read(SESSION)
        assert len(session.sequences) == 1 << 47
        assert session.sequences == session.sequences
        assert session.sequences != [1]
        for read in (lambda: list(session.actions()), lambda: session.action(5), lambda: session.action((1 << 47) - 1)):
            with pytest.raises(DamagedError):
                read()
        with pytest.raises(DamagedError):
            next(iter(session.shared_with(session.pieces[0])))
        assert not store.verify()


def interleaved(forgery: Forgery, count: int, padding: int) -> bytes:
    """Add a session of two large blocks that take turns."""
    from replaykit.format.segment import ACTS, OPEN, SEAL

    opening = forgery.add(OPEN, {"s": SESSION.bytes, "t": 1})
    places = []
    for side in range(2):
        entries = [{"i": 2 * each + side, "k": "tool", "t": 1, "d": 1} for each in range(count)]
        entries[0]["nm"] = "x" * padding
        places.append(forgery.add(ACTS, acts_body(entries)))
    columns = {
        "o": [places[0].offset, 0],
        "z": [each.size for each in places],
        "f": [0, 1],
        "n": [1, 1],
        "h": [[side, *[1, 1] * (count - 1)] for side in range(2)],
    }
    body = {
        "s": SESSION.bytes,
        "open": [opening.offset, opening.size],
        "idx": columns,
        "end": {"st": "sealed", "t1": 2},
    }
    seal = forgery.add(SEAL, body)
    forgery.catalog([{"pt": 1, "at": [seal.offset, seal.size], "card": card(n=2 * count)}])
    return forgery.bytes()


def test_blocks_that_take_turns_are_read_in_bounded_time() -> None:
    """Large ones are not expanded once per action: the session is whole, or refused as damaged."""
    data = interleaved(Forgery(), 20_000, 5 << 20)
    with at_most_seconds(60):
        store = opened(data)
        try:
            assert sum(1 for _ in store.read(SESSION).actions()) == 40_000
        except DamagedError as error:
            assert "turns" in str(error)


def test_indexes_that_name_the_same_blocks_again_are_refused() -> None:
    """Each part has blocks of its own: a chain of small indexes has none read for each of them."""
    from replaykit.format.segment import ACTS, OPEN

    forgery = Forgery()
    opening = forgery.add(OPEN, {"s": SESSION.bytes, "t": 1})
    block = forgery.add(ACTS, acts_body([{"i": 0, "k": "tool", "t": 1, "d": 1}]))
    columns = {"o": [block.offset], "z": [block.size], "f": [0], "n": [1], "h": []}
    body = {"s": SESSION.bytes, "open": [opening.offset, opening.size], "idx": columns}
    first = forgery.add(PART, body)
    second = forgery.add(PART, {**body, "prev": [first.offset, first.size]})
    forgery.catalog([{"pt": 1, "at": [second.offset, second.size], "card": card(st="open")}])
    store = opened(forgery.bytes())
    with pytest.raises(DamagedError, match="earlier part"):
        store.read(SESSION)
    assert not store.verify()


def test_a_value_that_names_one_large_blob_many_times_is_refused() -> None:
    """Pieces stand one behind the other: none is read twice."""
    from replaykit.format.segment import BLOB

    forgery = Forgery()
    piece = bytes(4 << 20)
    digest = bytes(32)
    blob = forgery.add(BLOB, {"s": SESSION.bytes, "h": digest, "n": len(piece) * 500, "q": 0, "of": 500, "b": piece})
    entry = {"i": 0, "k": "tool", "t": 1, "d": 1, "outb": [digest, len(piece) * 500]}
    plain_session(forgery, entries=[entry], b=[digest, blob.offset, blob.size] * 500)
    tracemalloc.start()
    try:
        with at_most_seconds(60), pytest.raises(DamagedError):
            list(opened(forgery.bytes()).read(SESSION).actions())
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["catalog", "index", "opening"])
def test_what_tells_of_sessions_expands_to_little(kind: str) -> None:
    """A listing reads such blocks only: compressed, as drafts of 1.0 wrote them, they have at most 4 MiB."""
    kinds = {"catalog": CATALOG, "index": PART, "opening": 2}
    refused = []
    for padding in (1000, 4 << 20):
        forgery = Forgery()
        body = cbor2.dumps({"n": 1, "base": 0, "add": [{"pt": 1, "s": bytes(16)}], "pad": bytes(padding)})
        raw = encode_block(
            kinds[kind], body, sync=SYNC, offset=forgery.offset, watermark=0, previous=forgery.writer.previous, level=3
        )
        forgery.raw(raw)
        problems = segment_problems(SegmentFile(MemoryBytes(forgery.bytes())))
        refused.append(any("over the limit" in problem for problem in problems))
    assert refused == [False, True]


def test_a_block_of_millions_of_entries_is_refused_before_they_are_cut(figure: Figure) -> None:
    """A few KiB that expand to 15 MiB of tiny entries."""
    count = 3 << 20
    body = (
        b"\xa3\x61l" + cbor_head(2, 4 * count) + b"\0\0\0\x01" * count + b"\x61s\x50" + SESSION.bytes + b"\x61a"
        + cbor_head(4, count) + b"\xa0" * count
    )  # fmt: skip
    forgery = Forgery()
    forgery.add(3, body)
    source = MemoryBytes(forgery.bytes())
    del body
    assert len(source.data) < 64 << 10
    tracemalloc.start()
    try:
        with at_most_seconds(60):
            assert surveyed(source).damage
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    figure("G19", f"{len(source.data)} bytes that expand to {5 * count}: {peak >> 20} MiB")
    assert peak < 3 * 64 << 20


def test_random_bytes_are_no_work() -> None:
    """Noise is read once or twice."""
    source = MemoryBytes(Forgery().bytes() + random.Random(3).randbytes(MIB))
    surveyed(source)
    assert source.bytes_read < 8 * MIB


def _zstd_frame(declared: int | None, content: bytes) -> bytes:
    """Return a zstd frame whose head declares what it likes."""
    from hostile.samples import zstd

    if declared is None:
        options = {zstd.CompressionParameter.content_size_flag: 0}
        return zstd.ZstdCompressor(options=options).compress(content, zstd.ZstdCompressor.FLUSH_FRAME)
    # Magic, a head of 8 bytes of size in one segment, one raw empty last block.
    return b"\x28\xb5\x2f\xfd" + b"\xe0" + declared.to_bytes(8, "little") + b"\x01\x00\x00" + content


@cache
def _gibibyte() -> bytes:
    """Return some KiB that expand to 1 GiB and say so."""
    from hostile.samples import zstd

    packer = zstd.ZstdCompressor()
    packer.set_pledged_input_size(1 << 30)
    return b"".join([*(packer.compress(bytes(1 << 24)) for _ in range(64)), packer.flush()])


BOMBS: dict[str, Callable[[], bytes]] = {
    "a gibibyte": _gibibyte,
    "a declared tebibyte": lambda: _zstd_frame(1 << 40, b""),
    "the highest size": lambda: _zstd_frame(2**64 - 2, b""),
    "no declared size": lambda: _zstd_frame(None, bytes(5000)),
    "less than declared": lambda: _zstd_frame(60 << 20, b""),
    "no frame": lambda: bytes(40),
}


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("kind", [2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 99])
def test_a_bomb_in_a_block_of_any_kind_is_refused_before_it_expands(kind: int, make: Callable[[], bytes]) -> None:
    """By verify and salvage, in little memory; the sessions beside it are whole."""
    import zlib

    forgery = Forgery()
    plain_session(forgery)
    packed = make()
    content = BLOCK_START + SYNC + cbor_head(0, kind) + b"\x01" + cbor_head(0, forgery.offset) + b"\x00\x58\x20"
    content += forgery.writer.previous + cbor_head(2, len(packed)) + packed
    forgery.raw(content + b"\x44" + zlib.crc32(content).to_bytes(4, "big"))
    source = MemoryBytes(forgery.bytes())
    del packed, content
    tracemalloc.start()
    try:
        with at_most_seconds(20):
            assert segment_problems(SegmentFile(source))
            assert SESSION.bytes in surveyed(source).sessions
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
