"""The second reader, which shares no code with the package, agrees with it about every recording."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

import replaykit
from replaykit.errors import DamagedError, ReplaykitError
from replaykit.format.block import MAGIC, Block, encode_block
from replaykit.format.entries import Gap
from replaykit.format.fields import map_of_card
from replaykit.format.segment import ACTS, CATALOG
from replaykit.format.strict import decode_body, encode_body
from replaykit.storage.file_store import FileStore
from replaykit.storage.options import StoreOptions
from replaykit.storage.segment_file import Tear
from replaykit.storage.sqlite_store import SqliteStore
from replaykit.testing.contracts import make_part

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs/reference/rpk_reader.py"
GOLDEN = sorted((ROOT / "tests/golden").glob("*.rpk"))
STEP = 1 if os.environ.get("REPLAYKIT_NIGHTLY") else 13


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("rpk_reader", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


reader = imported(SCRIPT)


# -- recordings of many shapes ------------------------------------------------------------


def several(path: Path, options: StoreOptions | None = None) -> None:
    """Sessions in parts, with large values, checkpoints, gaps, one that is open and one that is deleted."""
    ids = [uuid4() for _ in range(4)]
    with contextlib.closing(FileStore(path, options=options)) as store:
        for session_id in ids:
            checkpoints = [{"c": 0, "i": 1, "t": 1}]
            store.publish(make_part(session_id, range(3), state=None, checkpoints=checkpoints))
            store.publish(make_part(session_id, [3, 5], number=1, text="Large. " * 4000, state=None))
        store.publish(make_part(ids[0], [4, 6], number=2, gaps=[Gap(offset=1, reason="torn", data=b"x" * 300)]))
        store.publish(make_part(ids[1], number=2, state="interrupted"))
        store.delete(ids[2])


def compacted(path: Path) -> None:
    several(path)
    with contextlib.closing(FileStore(path)) as store:
        store.compact()
        store.publish(make_part(uuid4(), range(700)))


def padded(path: Path) -> None:
    several(path, StoreOptions(align=512))


def many(path: Path) -> None:
    """Enough commits that catalogs reach back over others."""
    with contextlib.closing(FileStore(path)) as store:
        for number in range(75):
            store.publish(make_part(UUID(int=number % 40 + 1), [number], state=None if number % 3 else "sealed"))


def resumed(path: Path) -> None:
    """A session that was interrupted in another process and goes on."""
    code = (
        "import os, replaykit\n"
        f"session = replaykit.Recorder({str(path)!r}).session('resumed')\n"
        "session.__enter__().record('tool', name='first', arguments={'a': 1}, output='b')\n"
        "os._exit(1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    with contextlib.closing(replaykit.Recorder(path)) as recorder:
        recorder.resume_session("resumed")
        recorder.end_session()


def empty(path: Path) -> None:
    FileStore(path).close()


def golden(source: Path) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(source.read_bytes())

    make.__name__ = source.name
    return make


SHAPES = [several, compacted, padded, many, resumed, empty, *map(golden, GOLDEN)]


@pytest.fixture(params=SHAPES, ids=lambda make: make.__name__)
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "runs.rpk"
    request.param(path)
    return path


# -- what either reader finds -------------------------------------------------------------


def listed_by_replaykit(path: Path) -> list[dict[str, Any]]:
    with contextlib.closing(FileStore(path, read_only=True)) as store:
        return [map_of_card(card) for card in store.cards()]


def blocks_by_replaykit(path: Path) -> dict[int, tuple[int, int, dict[str, Any]]]:
    """Return kind, end and body of each block, by its offset."""
    with contextlib.closing(FileStore(path, read_only=True)) as store:
        items = list(store.segment.scan(len(MAGIC), store.size()))
    assert not any(isinstance(item, Tear) for item in items)
    return {item.offset: (item.kind, item.end, decode_body(item.body())) for item in items if isinstance(item, Block)}


def listed(data: bytes) -> tuple[list[dict[str, Any]], bool]:
    cards, damage = reader.sessions(reader.Segment(data))
    return cards, bool(damage)


def salvaged(data: bytes) -> tuple[dict[int, tuple[int, int, Any]], list[range]]:
    items = list(reader.Segment(data).items())
    blocks = {item.offset: (item.kind, item.end, item.body) for item in items if isinstance(item, reader.Block)}
    return blocks, [range(item.offset, item.end) for item in items if isinstance(item, reader.Range)]


def test_both_readers_list_the_same(recording: Path) -> None:
    """Every field of every card, in the same order, and no damage."""
    assert listed(recording.read_bytes()) == (listed_by_replaykit(recording), False)


def test_both_readers_find_the_same_blocks(recording: Path) -> None:
    """Each with the same body, whatever Python's own CBOR decoder makes of it."""
    assert salvaged(recording.read_bytes()) == (blocks_by_replaykit(recording), [])


def test_parts_in_a_database_are_segments(tmp_path: Path) -> None:
    """Each row can be read alone."""
    path, session_id = tmp_path / "notes.mv", uuid4()
    with contextlib.closing(SqliteStore(path)) as store:
        store.publish(make_part(session_id, range(3), state=None))
        store.publish(make_part(session_id, [3], number=1))
        newest = map_of_card(store.cards()[0])
    with contextlib.closing(sqlite3.connect(path)) as connection:
        bodies = [body for (body,) in connection.execute("SELECT body FROM replaykit_part ORDER BY number")]
    assert [listed(body)[0][0]["st"] for body in bodies] == ["open", "sealed"]
    assert listed(bodies[-1]) == ([newest], False)


BODY = encode_body({"a": [1, -2, 2**63, 1.5, None, True, b"xx", "é", {"b": []}], "c": {"d": "x" * 30}, "e": -(2**63)})


@given(st.lists(st.tuples(st.integers(0, len(BODY) - 1), st.integers(0, 255)), max_size=3), st.binary(max_size=1))
def test_both_decoders_take_and_refuse_the_same(changes: list[tuple[int, int]], rest: bytes) -> None:
    """The strict profile, written twice: equal values, or damage for both."""
    body = bytearray(BODY + rest)
    for at, value in changes:
        body[at] = value
    try:
        expected = repr(decode_body(bytes(body)))
    except DamagedError:
        with pytest.raises(reader.Damaged):
            reader.decoded(bytes(body))
    else:
        assert expected == repr(reader.decoded(bytes(body)))


# -- damage -----------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.rpk"
    with contextlib.closing(FileStore(path)) as store:
        for number in range(2):
            store.publish(make_part(UUID(int=number + 1), range(2), state=None))
            store.publish(make_part(UUID(int=number + 1), [2], number=1))
    return path


def assert_salvages(data: bytes, whole: dict[int, tuple[int, int, Any]], damaged: range) -> None:
    """What is salvaged is true, and all of it that the damage does not touch; a tail may be damaged too."""
    blocks, ranges = salvaged(data)
    assert {offset: block for offset, block in whole.items() if offset in blocks} == blocks
    untouched = {at for at, (_, end, _) in whole.items() if end <= damaged.start or at >= damaged.stop}
    assert untouched <= set(blocks)
    assert all(damaged.start <= each.stop for each in ranges)


def test_every_truncation_is_read_as_far_as_it_goes(small: Path, tmp_path: Path) -> None:
    """Both list the same where replaykit reads it, and every whole block is salvaged."""
    data, whole = small.read_bytes(), blocks_by_replaykit(small)
    cut = tmp_path / "cut.rpk"
    for size in range(0, len(data), STEP):
        cut.write_bytes(data[:size])
        assert_salvages(data[:size], whole, range(size, len(data)))
        with contextlib.suppress(ReplaykitError):
            assert listed_by_replaykit(cut) == listed(data[:size])[0], size


def test_every_flipped_bit_costs_one_block(small: Path, tmp_path: Path) -> None:
    """Damage is seen; what it does not touch is salvaged; no listing says what was not recorded."""
    data, whole = small.read_bytes(), blocks_by_replaykit(small)
    history = cards_ever(whole)
    flipped = tmp_path / "flipped.rpk"
    for at in range(0, len(data), STEP):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        flipped.write_bytes(changed)
        assert_salvages(bytes(changed), whole, range(at, at + 1))
        assert salvaged(bytes(changed))[1], at
        cards, _ = listed(bytes(changed))
        assert all(card in history for card in cards), at
        with contextlib.suppress(ReplaykitError):
            assert listed_by_replaykit(flipped) == cards, at


def cards_ever(whole: dict[int, tuple[int, int, Any]]) -> list[dict[str, Any]]:
    records = [record for kind, _, body in whole.values() if kind == CATALOG for record in body["add"]]
    return [record["card"] for record in records if "card" in record]


def test_a_recorded_copy_of_the_file_adds_nothing(tmp_path: Path) -> None:
    """Blocks inside a value name another place as their own, also once the block around them is damaged."""
    path = tmp_path / "runs.rpk"
    session_id = uuid4()
    store = FileStore(path)
    store.publish(make_part(session_id, range(3), state=None))
    inner = path.read_bytes()
    store.publish(make_part(session_id, [3], number=1, gaps=[Gap(offset=0, reason="torn", data=inner)]))
    store.close()
    whole, data = blocks_by_replaykit(path), bytearray(path.read_bytes())
    around = next(at for at, (kind, _, _) in whole.items() if kind == 8)
    data[around + 60] ^= 1

    blocks, _ = salvaged(bytes(data))

    assert blocks == {at: block for at, block in whole.items() if at != around}


def test_noise_is_damage_and_nothing_else(tmp_path: Path) -> None:
    """Any bytes end in time, with one range or more."""
    noise = random.Random(1)
    for size in (0, 1, 11, 12, 200, 5000):
        for start in (b"", MAGIC, MAGIC + b"\x88\x48", b"\x88\x48" * 50):
            data = start + noise.randbytes(size)
            blocks, ranges = salvaged(data)
            assert not blocks
            assert ranges
            assert sum(map(len, ranges)) >= len(data) - data.count(0) - len(MAGIC)
            assert listed(data)[1]


def test_false_beginnings_cost_no_more_than_the_file(tmp_path: Path) -> None:
    """Thousands of nested blocks whose checksums all fail: the work ends with the budget."""
    body = b"\xa0"
    head = encode_block(1, body, sync=b"syncsync", offset=12, watermark=0, previous=bytes(32))
    pieces, at, most = [MAGIC, head], 12 + len(head), 400_000
    while at < most:
        # The head of a block that reaches to the end of the data.
        false = encode_block(
            3, bytes(most - at), sync=b"syncsync", offset=at, watermark=0, previous=bytes(32), level=None
        )
        pieces.append(false[:60])
        at += 60
    data = b"".join(pieces) + bytes(200)
    segment = reader.Segment(data)

    items = list(segment.items())

    assert isinstance(items[0], reader.Block)
    assert -len(data) < segment.checks <= 0


def test_nothing_inside_a_whole_block_is_looked_at() -> None:
    """Also where its body is no body: whoever wrote it could place anything there."""
    head = encode_block(1, b"\xa0", sync=b"syncsync", offset=12, watermark=0, previous=bytes(32))
    at = 12 + len(head)

    def made(kind: int, body: bytes, offset: int) -> bytes:
        return encode_block(kind, body, sync=b"syncsync", offset=offset, watermark=0, previous=bytes(32), level=None)

    before = len(made(3, made(3, b"\xa0", at), at)) - len(made(3, b"\xa0", at)) - 5
    data = MAGIC + head + made(3, made(3, b"\xa0", at + before), at)
    assert reader.Segment(data).block(at + before, len(data)).body == {}

    assert salvaged(data) == ({12: (1, at, {})}, [range(at, len(data))])


def test_hostile_bodies_are_damage(tmp_path: Path) -> None:
    """A whole block whose body is not plain is one damaged range, to its end."""
    for body in (
        b"\xa1\x61x" + b"\x81" * 80 + b"\0",
        b"\xa1\x61x\x9b\x40" + bytes(7),
        b"\xa2\x61x\0\x61x\0",
        b"\xa1\x01\x01",
        b"\xa1\x61x\xc2\x41\xff",
        b"\xa1\x61x\x3b" + b"\xff" * 8,
        b"\xa1\x61x\xf7",
        b"\xa1\x61x\x9f\xff",
        b"\xa1\x61x\x62\xed\xa0",
        b"\xa0\x00",
        b"\x80",
        b"",
    ):
        head = encode_block(1, encode_body({}), sync=b"syncsync", offset=12, watermark=0, previous=bytes(32))
        at = 12 + len(head)
        data = MAGIC + head + encode_block(ACTS, body, sync=b"syncsync", offset=at, watermark=0, previous=bytes(32))
        assert salvaged(data) == ({12: (1, at, {})}, [range(at, len(data))])


# -- as a program --------------------------------------------------------------------------------


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_as_a_program_it_says_the_same_and_how_it_went(small: Path, tmp_path: Path) -> None:
    """JSON lines; 0 when all is well, 3 with damage, 2 for wrong usage."""
    done = run("list", small)
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["st"] for line in done.stdout.splitlines()] == ["sealed", "sealed"]
    done = run("salvage", small)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [line["offset"] for line in lines] == list(blocks_by_replaykit(small))
    assert {line["session"] for line in lines} == {None, UUID(int=1).hex, UUID(int=2).hex}

    data = bytearray(small.read_bytes())
    data[len(data) // 2] ^= 1
    damaged = tmp_path / "damaged.rpk"
    damaged.write_bytes(data)
    done = run("salvage", damaged)
    assert done.returncode == 3
    assert [line for line in map(json.loads, done.stdout.splitlines()) if "damaged" in line]
    for arguments in ((), ("list",), ("dig", small), ("list", tmp_path / "missing")):
        assert run(*arguments).returncode == 2


def test_it_needs_the_standard_library_only() -> None:
    """Without replaykit, and where there is no zstd with compressed bodies as hex."""
    text = SCRIPT.read_text()
    modules = {
        line.split()[1].split(".")[0] for line in text.splitlines() if line.lstrip().startswith(("import ", "from "))
    }
    assert modules - {"backports", "compression", "__future__"} <= set(sys.stdlib_module_names)


@pytest.fixture
def without_zstd(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(reader, "zstd", None)
    yield


def test_without_zstd_it_lists_the_same(recording: Path, without_zstd: None) -> None:
    """What tells of sessions is never compressed; the rest is handed out as it is."""
    data = recording.read_bytes()
    assert listed(data) == (listed_by_replaykit(recording), False)
    packed = [item for item in reader.Segment(data).items() if item.body is None]
    assert {item.kind for item in packed} <= {ACTS, 4, 5}
    assert all(bytes.fromhex(reader.described(item)["zstd"]) == item.packed for item in packed)
