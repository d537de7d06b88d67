"""What a later release of the same major version writes is read; what it may not be, is said (G22)."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest
from effort import Figure

import replaykit
from replaykit.errors import UnsupportedVersionError
from replaykit.format.catalog import Record, encode_catalog
from replaykit.format.parts import encode_part, trees_after
from replaykit.format.segment import CATALOG, HEAD, SegmentWriter
from replaykit.format.strict import encode_body
from replaykit.storage.cards import card_after
from replaykit.storage.file_store import FileStore
from replaykit.storage.listing import Listing
from replaykit.testing.contracts import make_part

ID = UUID(int=7)
NEW_KIND = 77


def newer_file(path: Path, **head: Any) -> None:
    """Write a store as a later release might: with kinds of blocks and of actions, and keys, that nobody knows yet."""
    writer = SegmentWriter(sync=b"syncsync", offset=0, previous=bytes(32), watermark=0)
    writer.add_magic()
    body = {"format": "replaykit", "major": 1, "minor": 99, "file": bytes(16), "t": 0, "must": [], "mustw": []}
    writer.add(HEAD, encode_body({**body, "new": "key", **head}))
    writer.add(NEW_KIND, encode_body({"new": "block"}))
    actions = [
        {"i": 0, "k": "find", "nm": "find", "t": 5, "d": 3, "in": {"query": "x"}, "out": ["y"], "new": {"key": 1}},
        {"i": 1, "k": "teleport", "nm": "go", "t": 9, "d": 4, "in": {"to": "Rome"}, "out": "there", "x": {"far": True}},
    ]
    part = attrs.evolve(make_part(ID), actions=actions)
    _, newest = encode_part(writer, part, trees=trees_after(None))
    card = card_after(part, None, checkpoint_count=0)
    record = Record(number=1, session_id=ID.bytes, published_ns=5, card=card, at=newest)
    base, stored = Listing().next_catalog(record)
    place = writer.add(CATALOG, encode_catalog(record.number, base, stored))
    writer.add_tail(place.offset, writer.previous)
    path.write_bytes(writer.take())


def demand_read(path: Path) -> None:
    with replaykit.load(path) as recording:
        assert recording.verify()
        known, new = recording.get_session("last").actions
    assert (known.kind, known.arguments, known.output) == ("find", {"query": "x"}, ["y"])
    assert (new.action_type.tool, new.name, new.arguments, new.output) == (
        "teleport", "go", {"to": "Rome"}, "there",
    )  # fmt: skip


def test_g22_what_a_later_release_adds_is_read_and_kept(tmp_path: Path, figure: Figure) -> None:
    """Also after this release has recorded into the file, and rewritten it."""
    path = tmp_path / "runs.rpk"
    newer_file(path)
    demand_read(path)
    with closing(FileStore(path)) as store:
        before = list(store.read(ID).actions())
        store.publish(make_part(UUID(int=8), range(3)))
        store.delete(UUID(int=8))
        store.compact()
        assert list(store.read(ID).actions()) == before
        kinds = [getattr(item, "kind", None) for item in store.segment.scan(store.segment.head.end, store.size())]
    assert NEW_KIND in kinds
    demand_read(path)
    figure("G22", "a newer minor version with unknown blocks, keys and kinds: read, recorded into, compacted")


def test_g22_what_a_later_release_reserves_for_itself_is_left_alone(tmp_path: Path, figure: Figure) -> None:
    """``mustw`` names what a writer must know, ``must`` what a reader must; a new major version is neither's."""
    path = tmp_path / "runs.rpk"
    newer_file(path, mustw=["sealed-with-wax"])
    before = path.read_bytes()
    demand_read(path)
    with pytest.raises(UnsupportedVersionError):
        FileStore(path)
    assert path.read_bytes() == before
    for head in ({"must": ["invisible-ink"]}, {"major": 2}):
        newer_file(path, **head)
        before = path.read_bytes()
        for read_only in (True, False):
            with pytest.raises(UnsupportedVersionError):
                FileStore(path, read_only=read_only)
        assert path.read_bytes() == before
    figure("G22", "mustw: read only; must and a new major version: refused, no byte changed")
