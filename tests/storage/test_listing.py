"""What a listing reads of a store, and what it makes of cards that nobody should trust."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import attrs
import cbor2
import pytest

from replaykit.errors import DamagedError
from replaykit.format.block import Block, read_block
from replaykit.format.card_columns import cards_of_maps
from replaykit.format.catalog import catalog_of
from replaykit.format.entries import Card
from replaykit.format.fields import CardReader, map_of_card
from replaykit.format.segment import ACTS, CATALOG, start_segment
from replaykit.model import SessionSummary
from replaykit.storage.catalogue import Catalogue, summaries_of
from replaykit.storage.directory_store import DirectoryStore
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.testing.contracts import make_action, make_part

ID = UUID(int=7)


class Watched(SystemFiles):
    """The real disk, which never waits for the device and notes what is read and how many files are open."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[int, int]] = []
        self.open_now: set[int] = set()
        self.most_open = 0

    def open(self, path: str, *, write: bool, create: bool) -> int:
        """Open a file, and note it."""
        handle = super().open(path, write=write, create=create)
        self.open_now.add(handle)
        self.most_open = max(self.most_open, len(self.open_now))
        return handle

    def close(self, handle: int) -> None:
        """Close a file, and note it."""
        self.open_now.discard(handle)
        super().close(handle)

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        """Read, and note where and how much came back."""
        data = super().pread(handle, size, offset)
        self.reads.append((offset, len(data)))
        return data

    def sync(self, handle: int) -> None:
        """Return at once."""

    def sync_directory(self, path: str) -> None:
        """Return at once."""


def _publish(store: FileStore, count: int) -> list[UUID]:
    ids = [uuid4() for _ in range(count)]
    for session_id in ids:
        part = make_part(session_id, [0])
        store.publish(attrs.evolve(part, actions=[{**make_action(0), "raw": os.urandom(700)}]))
    return ids


def _blocks(path: Path, kind: int) -> list[Block]:
    store = FileStore(path, read_only=True)
    found = store.segment.scan(store.segment.head.end, store.size())
    blocks = [block for block in found if isinstance(block, Block) and block.kind == kind]
    store.close()
    return blocks


def test_a_listing_reads_catalogs_and_little_else(tmp_path: Path) -> None:
    """Of a thousand sessions: no block of actions but what the first 4 KiB touch, and under 64 KiB beside catalogs."""
    path = tmp_path / "runs.rpk"
    writer = FileStore(path, files=Watched())
    ids = _publish(writer, 1000)
    writer.close()
    files = Watched()
    reader = FileStore(path, read_only=True, files=files)

    assert ids == [summary.session_id for summary in Catalogue(reader).list_sessions()]

    reader.close()
    catalogs = {block.offset: block.size for block in _blocks(path, CATALOG)}
    asked = {offset for offset, _ in files.reads}
    beside = sum(size for _, size in files.reads) - sum(catalogs[offset] for offset in catalogs.keys() & asked)
    assert beside <= 64 << 10 < path.stat().st_size
    actions = [block for block in _blocks(path, ACTS) if block.offset >= 4 << 10]
    touched = [block for block in actions for at, size in files.reads if at < block.end and block.offset < at + size]
    assert len(actions) > 990
    assert not touched


def test_many_files_are_listed_with_one_read_each_and_few_descriptors(tmp_path: Path) -> None:
    """Small files are closed again before the next is opened."""
    ids: list[UUID] = []
    for number in range(200):
        writer = FileStore(tmp_path / f"{number:03}.rpk", files=Watched())
        ids += _publish(writer, 3)
        writer.close()
    files = Watched()
    store = DirectoryStore(tmp_path, read_only=True, files=files)

    assert set(ids) == {summary.session_id for summary in Catalogue(store).list_sessions()}

    assert [offset for offset, _ in files.reads] == [0] * 200
    assert files.most_open == 1
    assert not files.open_now
    store.close()


def test_large_files_of_a_directory_keep_a_bounded_number_of_descriptors(tmp_path: Path) -> None:
    """However many there are; and a session in any of them is still found."""
    for number in range(80):
        writer = FileStore(tmp_path / f"{number:03}.rpk", files=Watched())
        actions = [{**make_action(at), "raw": os.urandom(30_000)} for at in range(3)]
        writer.publish(attrs.evolve(make_part(uuid4(), range(3)), actions=actions))
        writer.close()
    files = Watched()
    store = DirectoryStore(tmp_path, read_only=True, files=files)

    summaries = Catalogue(store).list_sessions()

    assert len(summaries) == 80
    assert files.most_open <= 65
    assert all(len(store.read(summary.session_id).sequences) == 3 for summary in summaries)
    store.close()


def test_a_small_file_that_grew_is_listed_anew(tmp_path: Path) -> None:
    """Also once it is no small file any more."""
    writer = FileStore(tmp_path / "a.rpk", files=Watched())
    store = DirectoryStore(tmp_path, read_only=True)
    ids = []
    for count in (1, 2, 100):
        ids += _publish(writer, count)
        assert ids == [card.session_id for card in store.cards()]
    assert (tmp_path / "a.rpk").stat().st_size > 64 << 10
    writer.close()
    store.close()


CARD = map_of_card(
    Card(
        session_id=ID, name="a", created_ns=1, ended_ns=2, state="sealed", action_count=1, checkpoint_count=0,
        metadata={"user": "u"}, by_kind={"find": 1},
    )
)  # fmt: skip
RECORD = {"pt": 5, "at": [1, 2], "card": CARD}
SIMPLE = cbor2.CBORSimpleValue(99)


def _catalog(body: dict[str, Any]) -> Block:
    # Encoded by CBOR alone: our own encoder refuses most of these.
    writer = start_segment(sync=b"syncsync", file_id=bytes(16), created_ns=0, writer="test")
    place = writer.add(CATALOG, cbor2.dumps(body))
    block = read_block(writer.take(), place.offset, sync=b"syncsync")
    assert block is not None
    return block


def _card(**changes: Any) -> dict[str, Any]:
    return {"n": 1, "base": 0, "add": [{**RECORD, "card": {**CARD, **changes}}]}


def _record(**changes: Any) -> dict[str, Any]:
    return {"n": 1, "base": 0, "add": [{**RECORD, **changes}]}


HOSTILE = {
    "no state": {"n": 1, "base": 0, "add": [{**RECORD, "card": {"s": ID.bytes}}]},
    "a state that there is not": _card(st="gone"),
    "a short id": _card(s=b"short"),
    "a name that is a number": _card(name=1),
    "a count that is a float": _card(n=1.5),
    "a count that is true": _card(n=True),
    "an integer below 64 bits": _card(t0=-(2**63) - 1),
    "a short parent": _card(par=b"short"),
    "a simple value under a new key": _card(new=SIMPLE),
    "a key that is bytes": {"n": 1, "base": 0, "add": [{**RECORD, "card": {**CARD, b"x": 1}}]},
    "a card that is a list": _record(card=[]),
    "a time that is text": _record(pt="now"),
    "a time below 64 bits": _record(pt=-(2**63) - 1),
    "an index that is not before it": _record(at=[1, 1 << 40]),
    "a simple value in a new key of a record": _record(new=[SIMPLE]),
    "a record that is a number": {"n": 1, "base": 0, "add": [1]},
    "a deletion with a simple value": {"n": 1, "base": 0, "add": [{"pt": 1, "s": ID.bytes, "x": SIMPLE}]},
    "a simple value beside the records": {**_card(), "x": SIMPLE},
    "records that are a map": {"n": 1, "base": 0, "add": {}},
}


def test_a_catalog_like_those_below_is_read_where_nothing_is_wrong() -> None:
    """What a newer release adds is ignored."""
    (record,) = catalog_of(_catalog(_card(new=["plain"]))).records

    assert record.card is not None
    assert (record.card.name, record.card.metadata, record.card.by_kind) == ("a", {"user": "u"}, {"find": 1})


@pytest.mark.parametrize(
    "card",
    [{"s": ID.bytes}, *({**CARD, **changes} for changes in (
        {"st": "gone"}, {"st": ""}, {"s": b"short"}, {"s": None}, {"name": 1}, {"n": 1.5}, {"n": True},
        {"t0": -(2**63) - 1}, {"t1": -(2**63) - 1}, {"par": b"short"}, {"new": SIMPLE}, {b"x": 1}, {"kinds": []},
    ))],
)  # fmt: skip
def test_a_hostile_card_is_damage_alone_and_among_others(card: dict[str, Any]) -> None:
    """By either reader."""
    with pytest.raises(DamagedError):
        CardReader().card(card)
    for bodies in ([card], [CARD, card], [card, CARD]):
        with pytest.raises(DamagedError):
            cards_of_maps(bodies)


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_catalog_is_damage(body: dict[str, Any]) -> None:
    """Whatever is wrong in it, the error is the one for damage."""
    with pytest.raises(DamagedError):
        catalog_of(_catalog(body))


@pytest.mark.parametrize(
    "changes",
    [{"meta": {"x": SIMPLE}}, {"meta": {b"x": 1}}, {"kinds": {"find": "many"}}, {"kinds": {"find": -(2**63) - 1}}],
)
def test_what_no_listing_shows_is_checked_before_it_is_given_out(changes: dict[str, Any]) -> None:
    """The first look says so, and so does every other."""
    (record,) = catalog_of(_catalog(_card(**changes))).records

    for field in ("metadata", "by_kind", "parts", "metadata"):
        with pytest.raises(DamagedError):
            getattr(record.card, field)


def test_a_card_of_a_listing_is_like_any_other() -> None:
    """Equal to one that was made whole, and copied, changed and printed as one."""
    whole = Card(
        session_id=ID, name=None, created_ns=1, ended_ns=None, state="open", action_count=1, checkpoint_count=0,
        parts=3, start_generation=4,
    )  # fmt: skip
    other, listed = cards_of_maps([{**CARD, "new": 1}, map_of_card(whole)])
    alone = CardReader().card(map_of_card(whole))

    assert [CardReader().card(CARD), whole] == [other, alone]
    assert attrs.evolve(alone, parts=5) == attrs.evolve(whole, parts=5)
    assert repr(cards_of_maps([map_of_card(whole)])[0]) == repr(whole)
    assert listed == whole
    with pytest.raises(AttributeError):
        listed.nothing  # type: ignore[attr-defined]  # there is no such field


def test_a_summary_of_a_listing_is_like_any_other() -> None:
    """Equal to one that its constructor made, which sets every field."""
    card = Card(
        session_id=ID, name="a", created_ns=1_999_999_999, ended_ns=5_000_000_000, state="interrupted", action_count=1,
        checkpoint_count=2, duration_ns=3_000_000_001, lost=4,
    )  # fmt: skip
    whole = SessionSummary(
        session_id=ID, name="a", created_secs=1, ended_secs=5, action_count=1, checkpoint_count=2, duration_secs=3,
        state="interrupted", lost=4,
    )  # fmt: skip

    assert [whole, attrs.evolve(whole, ended_secs=None)] == summaries_of([card, attrs.evolve(card, ended_ns=None)])
    assert pickle.loads(pickle.dumps(summaries_of([card]))) == [whole]


@pytest.mark.parametrize("lacking", ["s", "st"])
def test_a_card_with_another_key_in_the_place_of_its_own_is_damage(lacking: str) -> None:
    """As many keys as there should be, and not those: what a flipped bit makes of a key."""
    body = map_of_card(Card(session_id=uuid4(), name=None, created_ns=1, ended_ns=2, state="sealed", action_count=0,
                            checkpoint_count=0))  # fmt: skip
    body["so"] = body.pop(lacking)
    with pytest.raises(DamagedError):
        CardReader().card(body)
    with pytest.raises(DamagedError):
        cards_of_maps([CARD, body])
