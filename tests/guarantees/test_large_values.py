"""Values at the limits of what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from replaykit.errors import DamagedError
from replaykit.format.entry_blocks import encode_action
from replaykit.format.strict import MOST_CONTAINERS, decode_body, decode_value, encode_value
from replaykit.memory.engine import Engine


def test_more_lists_and_maps_than_a_reader_bears_are_cut_when_written() -> None:
    """A value of very many tiny parts would take a hundred times its bytes; the action says that it is cut."""
    few, many = [[]] * MOST_CONTAINERS, [{}] * (MOST_CONTAINERS + 1)
    kept = encode_action({"i": 0, "k": "find", "out": few[:-1]})
    cut = encode_action({"i": 0, "k": "find", "out": many, "fl": ["stream"]})

    assert kept.blobs and decode_value(next(iter(kept.blobs.values()))) == few[:-1]
    entry = decode_body(cut.raw)
    assert (entry["out"], entry["fl"]) == ({"~t": "deep", "~v": ["cut"]}, ["cut", "stream", "unreplayable"])
    with pytest.raises(DamagedError, match="lists and maps"):
        decode_value(encode_value(many))


def test_fifty_megabytes_are_one_frame(tmp_path: Path) -> None:
    with Engine(tmp_path / "notes.mv") as memory:
        content = "word " * 10_000_000
        frame_id = memory.put(content)
        raw_id = memory.put(content.encode())

        assert content == memory.get(frame_id).content
        assert content.encode() == memory.get(raw_id).content
        assert [frame_id] == [hit.frame_id for hit in memory.find("word")]
