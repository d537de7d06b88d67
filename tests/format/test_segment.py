"""Segments: parts, their index, their catalog."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import replaykit.format
from replaykit.errors import DamagedError, NotAStoreError, UnsupportedVersionError
from replaykit.format.block import MAGIC, read_block
from replaykit.format.card_columns import cards_of_maps
from replaykit.format.catalog import reach
from replaykit.format.entries import Card, Opening, Part, Sealing
from replaykit.format.entry_blocks import decode_entry_block
from replaykit.format.fields import Fields, map_of_card, map_of_opening, opening_of
from replaykit.format.index import (
    BlockColumns,
    BlockRuns,
    Place,
    SequenceMap,
    Sequences,
    runs_of,
)
from replaykit.format.index_columns import decode_blocks, encode_blocks
from replaykit.format.parts import encode_part
from replaykit.format.segment import (
    HEAD,
    Origin,
    SegmentWriter,
    index_of,
    read_head,
    start_segment,
)
from replaykit.format.strict import decode_body, encode_body

ID = UUID(int=7)
SEQUENCES = st.lists(st.integers(0, 3000), unique=True, min_size=1).map(sorted)


def started() -> SegmentWriter:
    return start_segment(sync=b"syncsync", file_id=bytes(16), created_ns=5, writer="test")


def part_of(sequences: Sequence[int], *, text: str = "", sealed: bool = True) -> Part:
    return Part(
        number=0,
        opening=Opening(session_id=ID, name="n", created_ns=1),
        actions=[{"i": sequence, "k": "find", "x": text} for sequence in sequences],
        sealing=Sealing(state="sealed", ended_ns=2) if sealed else None,
    )


@given(SEQUENCES, st.integers(0, 3000))
def test_a_part_comes_back_action_by_action(sequences: list[int], size: int) -> None:
    """The index names each block with exactly the sequences that it holds."""
    writer = started()
    part = part_of(sequences, text="x" * size)
    index, place = encode_part(writer, part)
    data = writer.take()

    newest = read_block(data, place.offset, sync=b"syncsync")
    assert newest is not None
    found = index_of(newest, ID.bytes)
    assert list(index.actions) == list(found.actions)
    entries: list[dict[str, Any]] = []
    for described in found.actions:
        block = read_block(data, described.place.offset, sync=b"syncsync")
        assert block is not None
        assert described.place.size == block.size
        held = list(decode_entry_block(block, "a", ID.bytes).entries())
        assert runs_of([entry["i"] for entry in held]) == described.runs
        entries += held
    assert list(part.actions) == entries


def test_blocks_are_cut_by_count_size_and_jump() -> None:
    """512 actions, 64 KiB, or a call that outlived its part; one huge action stands alone."""

    def counts(part: Part) -> list[int]:
        return [block.count for block in encode_part(started(), part)[0].actions]

    assert counts(part_of(range(1000))) == [512, 488]
    assert counts(part_of(range(10), text="x" * 10_000)) == [6, 4]
    assert counts(part_of([3, 4, 4096, 4097, 4098])) == [2, 3]
    assert counts(part_of([0, 1], text="x" * 1_000_000)) == [1, 1]


def test_blocks_form_a_chain() -> None:
    """Each names the BLAKE3 of the one before; the first names none."""
    writer = started()
    encode_part(writer, part_of(range(1000)))
    data = writer.take()
    at, previous = len(MAGIC), bytes(32)
    while at < len(data):
        block = read_block(data, at, sync=b"syncsync")
        assert block is not None
        assert previous == block.previous
        at, previous = block.end, block.digest()


@given(st.lists(SEQUENCES, min_size=1, max_size=8))
def test_the_newest_block_has_each_sequence(held: list[list[int]]) -> None:
    """The map agrees with a plain dict that is overwritten in order."""
    blocks = [BlockRuns(Place(at * 10, 10), runs_of(each)) for at, each in enumerate(held)]
    model = {sequence: at for at, each in enumerate(held) for sequence in each}

    mapped = SequenceMap(blocks)

    assert sorted(model) == list(mapped.sequences())
    assert model == {sequence: mapped.block_of(sequence) for sequence in model}
    assert all(mapped.block_of(sequence) is None for sequence in range(0, 3001, 7) if sequence not in model)
    spans = [sequence for first, stop, _ in mapped.spans() for sequence in range(first, stop)]
    assert sorted(model) == spans
    assert len(model) == len(mapped)
    assert blocks == stored_and_read(blocks)


def stored_and_read(blocks: list[BlockRuns]) -> BlockColumns:
    return decode_blocks(decode_body(encode_body({"x": encode_blocks(blocks)}))["x"], end=100)


@given(st.lists(SEQUENCES, min_size=2, max_size=8), st.integers(0, 8))
def test_an_index_in_parts_is_one_index(held: list[list[int]], cut: int) -> None:
    """Joined, or mapped as parts, it tells what the whole does."""
    blocks = [BlockRuns(Place(at * 10, 10), runs_of(each)) for at, each in enumerate(held)]
    parts = [stored_and_read(blocks[:cut]), stored_and_read(blocks[cut:])]
    whole, mapped = SequenceMap(blocks), SequenceMap(*parts)
    assert blocks == BlockColumns.joined(parts)
    assert blocks[1:] == BlockColumns.joined(parts)[1:]
    assert list(whole.spans()) == list(mapped.spans()) == list(SequenceMap(BlockColumns.joined(parts)).spans())
    assert whole.sequences() == mapped.sequences()


@given(SEQUENCES)
def test_sequences_are_a_sequence(values: list[int]) -> None:
    """Length, items from both ends, slices and membership as a list has them."""
    sequences = Sequences(runs_of(values))
    assert values == sequences
    assert values[::2] == sequences[::2]
    assert [values[at] for at in range(-len(values), 0)] == [sequences[at] for at in range(-len(values), 0)]
    assert all((value in sequences) == (value in set(values)) for value in range(0, 3000, 11))
    with pytest.raises(IndexError):
        sequences[len(values)]


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_sequences_are_compared_and_joined_by_their_runs(some: set[int], others: set[int]) -> None:
    """Like sets, without looking at each number."""
    mine, theirs = Sequences(runs_of(sorted(some))), Sequences(runs_of(sorted(others)))
    assert sorted(some & others) == list(mine.shared_with(theirs))
    assert sorted(some | others) == list(mine.united_with(others))
    assert (mine == theirs) == (some == others)


@pytest.mark.parametrize(
    "columns",
    [
        None,
        {},
        {"o": [1], "z": [1], "f": [0], "n": [1]},
        {"o": [1], "z": [1, 2], "f": [0], "n": [1], "h": []},
        {"o": [-1], "z": [1], "f": [0], "n": [1], "h": []},
        {"o": [1.5], "z": [1], "f": [0], "n": [1], "h": []},
        {"o": [1], "z": [0], "f": [0], "n": [1], "h": []},
        {"o": [1], "z": [1], "f": [-1], "n": [1], "h": []},
        {"o": [1], "z": [1], "f": [0], "n": [2**60], "h": []},
        {"o": [1], "z": [1], "f": [0], "n": [1], "h": [[0, 1]]},
        {"o": [1], "z": [1], "f": [0], "n": [1], "h": [[0, 0, 1]]},
        {"o": [1], "z": [1], "f": [0], "n": [1], "h": [3]},
        {"o": [10**9], "z": [1], "f": [0], "n": [1], "h": []},
        {"c": 1},
        {"c": 1, "po": b"\x01", "pz": b"\x01", "pn": b"\x01"},
        {"c": 1, "po": [1], "pz": b"\x01", "pn": b"\x01", "f0": 0},
        {"c": 2, "po": b"\x01", "pz": b"\x01", "pn": b"\x01", "f0": 0},
        {"c": 2, "po": bytes(5), "pz": b"\x01\x01", "pn": b"\x01\x01", "f0": 0},
        {"c": 2, "po": bytes(6), "pz": b"\x01\x01", "pn": b"\x01\x01", "f0": 0},
        {"c": 0, "po": b"\x01", "pz": b"", "pn": b"", "f0": 0},
        {"c": -1, "po": b"\x01", "pz": b"\x01", "pn": b"\x01", "f0": 0},
        {"c": 1.0, "po": b"\x01", "pz": b"\x01", "pn": b"\x01", "f0": 0},
        {"c": 2**64 - 1, "po": b"\x01", "pz": b"\x01", "pn": b"\x01", "f0": 0},
        {"c": 1, "po": b"\x01", "pz": b"\x00", "pn": b"\x01", "f0": 0},
        {"c": 1, "po": b"\x01", "pz": b"\x01", "pn": b"\x00", "f0": 0},
        {"c": 1, "po": b"\x01", "pz": b"\x01", "pn": b"\x01", "f0": -1},
        {"c": 1, "po": b"\x01", "pz": b"\x01", "pn": b"\x01", "f0": 2**60},
        {"c": 1, "po": b"\x01", "pz": b"\x01", "pn": b"\x01", "f0": True},
        {"c": 1, "po": b"\x01", "pz": b"\x01", "pn": b"\x01", "pf": b"\xff"},
        {"c": 1, "po": b"\x01", "pz": b"\x01", "pn": b"\xff" * 8, "f0": 0},
        {"c": 1, "po": b"\x01", "pz": b"\x01", "pn": b"\x01", "f0": 0, "h": [[0, 0, 1]]},
        {"c": 1, "po": b"\x01", "pz": b"\x01", "pn": b"\x01", "f0": 0, "h": [[0, 1.5, 1]]},
        {"c": 1, "po": b"\x01", "pz": b"\x01", "pn": b"\x01", "f0": 0, "h": 5},
        {"c": 1, "po": b"\xff" * 8, "pz": b"\x01", "pn": b"\x01", "f0": 0},
    ],
)
def test_a_hostile_index_is_damage(columns: Any) -> None:
    """Wrong shapes, places outside the segment, and numbers out of range."""
    with pytest.raises(DamagedError):
        decode_blocks(columns, end=1000)


@given(st.lists(SEQUENCES, min_size=1, max_size=8), st.sampled_from([0, 200, 70_000, 2**33]))
def test_an_index_of_lists_says_what_a_packed_one_does(held: list[list[int]], far: int) -> None:
    """Drafts before 1.2 had them, and numbers may be wide."""
    blocks = [BlockRuns(Place((at + 1) * (far + 10), far + 3), runs_of(each)) for at, each in enumerate(held)]
    ends = [0, *(each.place.offset + each.place.size for each in blocks)]
    runs = [each.runs for each in blocks]
    firsts = [each[0].first for each in runs]
    gaps = [
        [number for before, run in pairwise(each) for number in (run.first - before.stop, run.stop - run.first)]
        for each in runs
    ]
    listed = {
        "o": [each.place.offset - end for each, end in zip(blocks, ends, strict=False)],
        "z": [each.place.size for each in blocks],
        "f": [first - before for first, before in zip(firsts, [0, *firsts], strict=False)],
        "n": [each[0].stop - each[0].first for each in runs],
        "h": [[number, *each] for number, each in enumerate(gaps) if each],
    }
    packed = encode_blocks(blocks)
    assert blocks == decode_blocks(listed, end=1 << 48) == decode_blocks(packed, end=1 << 48)
    assert ("f0" in packed) == (not any(gaps) and firsts[1:] == [each[0].stop for each in runs[:-1]])


def _head(**changes: Any) -> bytes:
    writer = SegmentWriter(sync=b"syncsync", offset=0, previous=bytes(32), watermark=0)
    writer.add_magic()
    body = {"format": "replaykit", "major": 1, "minor": 0, "file": bytes(16), "t": 0, "must": [], "mustw": []}
    writer.add(HEAD, encode_body({**body, **changes}))
    return writer.take()


def test_newer_segments_are_told_from_damaged_ones() -> None:
    """A newer minor is read, an unknown need is refused, a need of writers means read only."""
    assert read_head(_head(minor=9, new="key")).writable
    assert not read_head(_head(mustw=["x"])).writable
    for changes in ({"major": 2}, {"must": ["x"]}):
        with pytest.raises(UnsupportedVersionError):
            read_head(_head(**changes))
    with pytest.raises(DamagedError):
        read_head(_head(file=b"short"))
    with pytest.raises(NotAStoreError):
        read_head(_head()[:-1])


def test_a_head_stays_where_readers_look_for_it() -> None:
    """Within 64 KiB, however many sessions a compaction left out; it names the last of them."""
    dropped = [number.to_bytes(16, "big") for number in range(5000)]
    origin = Origin(file_id=bytes(16), head=bytes(32), dropped=dropped)

    data = start_segment(sync=b"syncsync", file_id=bytes(16), created_ns=5, writer="test", origin=origin).take()

    found = read_head(data[: 64 << 10]).origin
    assert found is not None
    assert dropped[-2048:] == found.dropped


@pytest.mark.parametrize("zero", [0, None])
def test_cards_and_openings_come_back_equal(zero: int | None) -> None:
    """Also where a value is zero, empty or missing."""
    for name in ("", None, "x" * 300):
        card = Card(
            session_id=ID, name=name, created_ns=0, ended_ns=zero, state="sealed", action_count=0,
            checkpoint_count=0, start_generation=zero, parent_session=None if zero is None else UUID(int=0),
            metadata={"conversation_id": "c"}, by_kind={"find": 2},
        )  # fmt: skip
        assert [card] == cards_of_maps([decode_body(encode_body(map_of_card(card)))])
        opening = Opening(session_id=ID, name=name, created_ns=-5, start_generation=zero, resumed=True)
        assert opening == opening_of(Fields(decode_body(encode_body(map_of_opening(opening)))))


def test_catalogs_reach_far_now_and_then() -> None:
    """The cost of a commit stays small on average, and so does the way back to the first."""
    written = [reach(number) for number in range(1, 10_001)]
    assert sum(written) / len(written) < 5
    number, steps = 9_999, 0
    while number:
        number -= reach(number)
        steps += 1
    assert steps < 45
    assert reach(512, [10 << 20] * 512) == 1


def test_the_format_touches_no_file_clock_or_thread() -> None:
    """Bytes in, values out."""
    for source in ("block", "strict", "index", "segment", "fields", "catalog"):
        tree = ast.parse((Path(replaykit.format.__file__).parent / f"{source}.py").read_text())
        imported = {
            name
            for node in ast.walk(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        }
        assert not imported & {"os", "time", "random", "secrets", "threading", "socket", "pathlib", "uuid4"}
