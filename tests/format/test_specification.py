"""The page of the format says what the code does: its kinds, its keys and its example."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import attrs
import pytest
from blake3 import blake3

from replaykit.format import actions
from replaykit.format import segment as kinds
from replaykit.format.block import MAX_BLOCK_BYTES, MAX_EXPANDED_BYTES, Block, cbor_head, read_block
from replaykit.format.catalog import Record, encode_catalog
from replaykit.format.entries import Card, Gap, Opening, Part, Sealing
from replaykit.format.entry_blocks import BLOB_BYTES, MAX_BLOB_BYTES, MOST_ENTRIES
from replaykit.format.fields import map_of_card
from replaykit.format.merkle import Trees
from replaykit.format.parts import encode_part
from replaykit.format.records import FLAG_NAMES
from replaykit.format.segment import KINDS, Origin, SegmentWriter, start_segment
from replaykit.format.strict import MAX_DEPTH, MOST_CONTAINERS, decode_body
from replaykit.model import KINDS as MODEL_KINDS

PAGE = Path(__file__).parents[2] / "docs/reference/format.md"
TEXT = PAGE.read_text()
(CDDL,) = re.findall(r"^```cddl\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
RULES = dict(re.findall(r"^(\w+) = (.*?)(?=^\w+ = |\Z)", re.sub(r";.*", "", CDDL), re.MULTILINE | re.DOTALL))
GROUPS = {"index", "tree", "arguments", "output"}
NAMED = re.compile(r'"(\w+)":')


def keys_of(rule: str) -> set[str]:
    """Return the keys that a rule of the page has, those of its groups included."""
    used = GROUPS & (set(re.findall(r"(?<![\":\w])\w+(?![\":\w])", RULES[rule])) - {rule})
    return set(NAMED.findall(RULES[rule])).union(*map(keys_of, used))


def every_block() -> dict[int, list[Block]]:
    """Return blocks of each kind that publishing writes, with every key that it can have."""
    session_id = UUID(int=7)
    opening = Opening(
        session_id=session_id, name="n", created_ns=1, metadata={"m": 1}, redaction="r", parent_session=session_id,
        start_generation=1, memory_id=session_id, resumed=True,
    )  # fmt: skip
    sealing = Sealing(
        state="sealed", ended_ns=2, ended_by="exit", duration_ns=3, lost=1, late=1, metadata={"m": 1}
    )  # fmt: skip
    part = Part(
        number=0,
        opening=opening,
        actions=[{"i": 0, "k": "find", "in": bytes(BLOB_BYTES)}, {"i": 2, "k": "find"}],
        checkpoints=[{"c": 0}],
        gaps=[Gap(offset=1, reason="torn", data=b"x")],
    )
    origin = Origin(file_id=bytes(16), head=bytes(32), dropped=[bytes(16)])
    writer = start_segment(sync=b"syncsync", file_id=bytes(16), created_ns=5, writer="test", origin=origin)
    trees = Trees()
    index, place = encode_part(writer, part, trees=trees)
    encode_part(writer, Part(number=1, opening=opening), before=index, earlier=place, trees=trees)
    encode_part(writer, Part(number=2, opening=opening, sealing=sealing), before=index, earlier=place, trees=trees)
    card = Card(
        session_id=session_id, name="n", created_ns=1, ended_ns=2, state="sealed", action_count=1, checkpoint_count=1,
        duration_ns=1, ended_by="exit", lost=1, late=1, gaps=1, metadata={"m": 1}, parent_session=session_id, parts=2,
        log_through=3, by_kind={"find": 1}, redaction="r", start_generation=1,
    )  # fmt: skip
    record = Record(number=1, session_id=session_id.bytes, published_ns=1, card=card, at=place)
    deletion = Record(number=2, session_id=session_id.bytes, published_ns=2)
    writer.add(kinds.CATALOG, encode_catalog(2, 0, [record, deletion]))
    writer.add(kinds.CATALOG, encode_catalog(9, 0, [record, *[deletion] * 8]))
    return blocks_in(writer)


def blocks_in(writer: SegmentWriter) -> dict[int, list[Block]]:
    data, at = writer.take(), 12
    found: dict[int, list[Block]] = {}
    while at < len(data):
        block = read_block(data, at, sync=b"syncsync")
        assert block is not None
        found.setdefault(block.kind, []).append(block)
        at = block.end
    return found


BLOCKS = every_block()


def written(kind: int, *inside: str) -> set[str]:
    """Return the keys that bodies of *kind* have, or a map or list of maps *inside* of them."""
    maps: Iterable[dict[str, object]] = [decode_body(block.body()) for block in BLOCKS[kind]]
    for key in inside:
        held = [each[key] for each in maps if key in each]
        maps = [item for each in held for item in (each if isinstance(each, list) else [each])]
    return {key for each in maps for key in each}


@pytest.mark.parametrize(
    ("rule", "keys"),
    [
        ("head", written(kinds.HEAD) | written(kinds.HEAD, "from")),
        ("open", written(kinds.OPEN)),
        ("acts", written(kinds.ACTS)),
        ("ckpt", written(kinds.CKPT)),
        ("blob", written(kinds.BLOB)),
        ("part", written(kinds.PART)),
        ("seal", written(kinds.SEAL)),
        ("end", written(kinds.SEAL, "end")),
        ("blocks", written(kinds.PART, "idx") | written(kinds.SEAL, "idx")),
        ("catalog", written(kinds.CATALOG)),
        ("commit", written(kinds.CATALOG, "add")),
        ("card", written(kinds.CATALOG, "add", "card")),
        ("columns", written(kinds.CATALOG, "add", "card") - {"s"}),
        ("columns", written(kinds.CATALOG, "cols")),
        ("gap", written(kinds.GAP)),
    ],
)
def test_every_key_that_is_written_is_in_the_page(rule: str, keys: set[str]) -> None:
    """And no other."""
    assert keys_of(rule) == keys


def test_the_card_of_the_example_has_every_field() -> None:
    """Else the comparison above would miss one."""
    listed = re.findall(r'^ +"(\w+)":', inspect.getsource(map_of_card), re.MULTILINE)
    assert set(listed) == written(kinds.CATALOG, "add", "card")


def test_every_key_of_an_entry_that_is_read_is_in_the_page() -> None:
    """Of actions and of checkpoints, and no other."""
    reading = re.compile(r'entry(?:\.get\(|\[)"(\w+)"')
    read = {
        function.__name__: set(reading.findall(inspect.getsource(function)))
        for function in (actions._action, actions._action_type, actions.checkpoint_from_entry, actions._frame_ids)
    }
    assert keys_of("action") == read["_action"] | read["_action_type"] | {"inb", "outb"}
    assert keys_of("checkpoint") == read["checkpoint_from_entry"] | read["_frame_ids"]
    assert keys_of("tomb") == {"s", "n", "root", "t"}


def test_the_fields_of_every_kind_of_action_are_in_the_page() -> None:
    """As the model has them, and no other."""
    rows = re.findall(r"^\| ([a-z_, ]+) \| (`.*) \|$", TEXT, re.MULTILINE)
    page = {kind: set(re.findall(r"`(\w+)`", keys)) for kinds_of, keys in rows for kind in kinds_of.split(", ")}
    model = {kind: {field.name for field in attrs.fields(cls)} for kind, cls in MODEL_KINDS.items()}
    assert page == {**model, "find": {*model["find"], "k"}}


def test_every_flag_is_in_the_page() -> None:
    """Those of a call and those of its values."""
    (listed,) = re.findall(r"^Flags: (.*?)\n\n", TEXT, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+)`", listed)) == {*FLAG_NAMES.values(), "damaged", "deep", "cycle", "unreplayable"}


def test_every_kind_is_in_the_page() -> None:
    """By its number and name."""
    named = {int(number): name for number, name in re.findall(r"^\| (\d+) \| ([A-Z]+) \|", TEXT, re.MULTILINE)}
    assert {number: getattr(kinds, name) for number, name in named.items()} == {number: number for number in KINDS}
    assert {name.lower() for name in named.values()} <= set(RULES)


def test_what_tells_of_sessions_is_plain() -> None:
    """Only actions, checkpoints and blobs may need zstd."""
    writer = start_segment(sync=b"syncsync", file_id=bytes(16), created_ns=5, writer="test")
    for kind in sorted(KINDS | {64}):
        writer.add(kind, b"\xa1\x61x\x59\x10\x00" + bytes(4096))
    codecs = {kind: found[-1].codec for kind, found in blocks_in(writer).items()}

    compressed = {kind for kind, codec in codecs.items() if codec}
    assert compressed == {kinds.ACTS, kinds.CKPT, kinds.BLOB, 64}
    assert "**ACTS, CKPT,\nBLOB**" in TEXT


def test_lengths_come_first_and_entries_last() -> None:
    """So that one entry is cut out without decoding the others."""
    for kind, key in ((kinds.ACTS, "a"), (kinds.CKPT, "c")):
        for block in BLOCKS[kind]:
            body = decode_body(block.body())
            keys = list(body)
            assert (keys[0], keys[-1]) == ("l", key)
            assert len(body["l"]) == 4 * len(body[key])
            total = sum(int.from_bytes(body["l"][at : at + 4], "big") for at in range(0, len(body["l"]), 4))
            assert block.body()[-total - 1 :][:1] == cbor_head(4, len(body[key]))


def test_the_example_of_a_root_is_true() -> None:
    """Each line, by hand and by the code."""
    example = dict(re.findall(r"^([a-z]+(?: \d)*) +([0-9a-f]+)$", TEXT, re.MULTILINE))
    value = {name: bytes.fromhex(text) for name, text in example.items()}
    for number in range(3):
        assert blake3(b"\x00" + value[f"action {number}"]).digest() == value[f"leaf {number}"]
    assert blake3(b"\x01" + value["leaf 0"] + value["leaf 1"]).digest() == value["node 0 1"]
    assert blake3(b"\x01" + value["node 0 1"] + value["leaf 2"]).digest() == value["actions"]
    assert blake3(b"\x00" + value["checkpoint 0"]).digest() == value["checkpoints"]
    trees = Trees()
    for number in range(3):
        trees.actions.add(value[f"action {number}"])
    trees.checkpoints.add(value["checkpoint 0"])
    assert trees.root() == value["root"]
    edges = [(edge.count, edge.peaks) for edge in trees.edges()]
    assert edges == [(3, value["node 0 1"] + value["leaf 2"]), (1, value["checkpoints"])]


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    """Numbers that a second implementation relies on."""
    limits = dict(re.findall(r"^\| ([a-z][^|]*) \| ([\d,]+(?: [KM]iB)?) \|$", TEXT, re.MULTILINE))
    assert limits["nesting of a body"] == f"{MAX_DEPTH}"
    assert limits["lists and maps in one body or value"] == f"{MOST_CONTAINERS:,}"
    assert limits["entries in one block"] == f"{MOST_ENTRIES:,}"
    assert limits["what a compressed body expands to"] == f"{MAX_EXPANDED_BYTES >> 20} MiB"
    assert limits["a block; a value in BLOBs"] == f"{MAX_BLOCK_BYTES >> 20} MiB" == f"{MAX_BLOB_BYTES >> 20} MiB"
    assert f"{BLOB_BYTES >> 10} KiB or more" in TEXT
