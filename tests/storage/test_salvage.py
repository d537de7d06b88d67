"""Reading and recovering around damage."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

import replaykit
from replaykit.errors import DamagedError, NotAStoreError, ReadOnlyError, StorageError, UsageError
from replaykit.format.block import MAGIC
from replaykit.format.segment import ACTS, BLOB, CATALOG, GAP, OPEN, SEAL
from replaykit.storage import recovering
from replaykit.storage.directory_store import DirectoryStore
from replaykit.storage.file_store import FileStore
from replaykit.storage.recovering import recover_into
from replaykit.storage.salvage import SalvagedStore
from replaykit.storage.sqlite_store import SqliteStore
from replaykit.storage.stored_session import demand_roots
from replaykit.testing.contracts import make_part

TEXT = "x" * 20_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.rpk"


def recorded(store: Any) -> list[UUID]:
    """Publish three sessions with two blocks of actions, a blob and a checkpoint each."""
    ids = [uuid4() for _ in range(3)]
    for at, session_id in enumerate(ids):
        store.publish(make_part(session_id, range(5), state=None, name=f"s{at}"))
        text = f"{at}{TEXT}"
        checkpoint = {"c": 0, "i": 6, "t": 7}
        store.publish(make_part(session_id, [5, 6], number=1, name=f"s{at}", text=text, checkpoints=[checkpoint]))
    store.close()
    return ids


def places(path: Path, kind: int) -> list[Any]:
    store = FileStore(path, read_only=True)
    found = [item for item in store.segment.scan(12, store.size()) if getattr(item, "kind", None) == kind]
    store.close()
    return found


def flip(path: Path, offset: int) -> bytes:
    """Flip a bit of the byte at *offset* and return the file as it is now."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 4
    path.write_bytes(data)
    return bytes(data)


def sequences(store: Any, session_id: UUID) -> list[int]:
    return [action["i"] for action in store.read(session_id).actions()]


def test_a_damaged_block_costs_its_actions_only(path: Path) -> None:
    ids = recorded(FileStore(path))
    flip(path, places(path, ACTS)[2].offset + 60)

    store = SalvagedStore(path)

    assert [sequences(store, each) for each in ids] == [[*range(7)], [5, 6], [*range(7)]]
    assert [store.read(each).missing for each in ids] == [0, 5, 0]
    assert [store.read(each).is_whole for each in ids] == [True, False, True]
    assert [card.lost for card in store.cards()] == [0, 5, 0]
    verification = store.verify()
    assert not verification
    assert len(verification.problems) == 1


@pytest.mark.parametrize("kind", [OPEN, CATALOG, SEAL])
def test_damage_beside_the_actions_costs_none(kind: int, path: Path) -> None:
    """Catalogs, indexes and openings are not needed to find actions."""
    ids = recorded(FileStore(path))
    for block in places(path, kind):
        flip(path, block.offset + 70)

    store = SalvagedStore(path)

    assert [sequences(store, each) for each in ids] == [[*range(7)]] * 3
    assert {card.state for card in store.cards()} <= {"sealed", "interrupted"}


def test_a_damaged_value_leaves_its_action(path: Path) -> None:
    """Only the value is missing, and the action says so."""
    ids = recorded(FileStore(path))
    flip(path, places(path, BLOB)[0].offset + 70)

    session = SalvagedStore(path).read(ids[0])

    assert [action["i"] for action in session.actions()] == [*range(7)]
    assert session.action(5)["fl"] == ["damaged"]
    assert "out" not in session.action(5)
    assert not session.is_whole


def test_an_action_without_its_value_is_flagged(path: Path) -> None:
    @replaykit.records("ask")
    def ask(question: str) -> str:
        return TEXT

    with replaykit.Recorder(path) as recorder, recorder.session("one"):
        ask("why")
    flip(path, places(path, BLOB)[0].offset + 70)

    with replaykit.load(path, recovery="salvage") as recording:
        [action] = recording.get_session("one").actions
    assert (action.output, "damaged" in action.flags, action.arguments) == (None, True, {"question": "why"})


def test_a_damaged_head_is_replaced_by_the_vote_of_the_blocks(path: Path) -> None:
    ids = recorded(FileStore(path))
    data = flip(path, 20)

    store = SalvagedStore(path)

    assert [sequences(store, each) for each in ids] == [[*range(7)]] * 3
    path.write_bytes(b"\0" * len(MAGIC) + data[len(MAGIC) :])
    assert [sequences(SalvagedStore(path), each) for each in ids] == [[*range(7)]] * 3


def test_a_deleted_session_does_not_come_back(path: Path) -> None:
    """Also when its tombstone is what is damaged."""
    store = FileStore(path)
    first, second = uuid4(), uuid4()
    for session_id in (first, second):
        store.publish(make_part(session_id, range(3)))
    store.delete(first)
    store.close()
    assert [card.session_id for card in SalvagedStore(path).cards()] == [second]

    flip(path, path.stat().st_size - 300)

    assert [card.session_id for card in SalvagedStore(path).cards()] == [second]


def test_a_salvaged_store_takes_nothing(path: Path) -> None:
    recorded(FileStore(path))
    store = SalvagedStore(path)
    refusals: list[Callable[[], Any]] = [
        lambda: store.create_log(uuid4()),
        lambda: store.publish(make_part(uuid4(), [0])),
        lambda: store.delete(uuid4()),
        lambda: store.erase(uuid4()),
        store.compact,
    ]
    for refusal in refusals:
        with pytest.raises(ReadOnlyError):
            refusal()


def test_what_is_no_recording_is_refused(path: Path) -> None:
    path.write_bytes(b"something else " * 1000)
    with pytest.raises(NotAStoreError):
        SalvagedStore(path)


# -- the three ways to load --------------------------------------------------------


def test_strict_prefix_and_salvage(path: Path) -> None:
    """A torn end is passed over but by strict; damage below the watermark is read around by salvage only."""
    ids = recorded(FileStore(path))
    whole = path.read_bytes()
    with open(path, "ab") as file:
        file.write(b"\x88\x48 torn")

    with pytest.raises(DamagedError):
        replaykit.load(path, recovery="strict")
    for mode in ("prefix", "salvage"):
        with replaykit.load(path, recovery=mode) as recording:
            assert [len(recording.get_session(each).actions) for each in ids] == [7, 7, 7]

    path.write_bytes(whole)
    with replaykit.load(path, recovery="strict") as recording:
        assert len(recording.list_sessions()) == 3
    flip(path, places(path, ACTS)[0].offset + 60)
    with pytest.raises(DamagedError):
        replaykit.load(path, recovery="strict")
    with replaykit.load(path) as recording, pytest.raises(DamagedError):
        list(recording.get_session(ids[0]).actions)
    with replaykit.load(path, recovery="salvage") as recording:
        assert [len(recording.get_session(each).actions) for each in ids] == [2, 7, 7]
        assert recording.get_session(ids[0]).lost == 5
    with pytest.raises(UsageError, match="strict, prefix, salvage"):
        replaykit.load(path, recovery="hope")  # type: ignore[arg-type]  # what a user may write


# -- recovering --------------------------------------------------------------------


def test_recovering_makes_a_store_that_verifies(path: Path, tmp_path: Path) -> None:
    """Sessions without damage keep their roots; the damaged file stays byte for byte."""
    ids = recorded(FileStore(path))
    before = FileStore(path, read_only=True)
    roots = {each: demand_roots(before.read(each).pieces) for each in ids}
    damaged = flip(path, places(path, ACTS)[2].offset + 60)

    result = recover_into(path, tmp_path / "new.rpk")

    assert path.read_bytes() == damaged
    assert (result.sessions, result.whole_sessions, result.lost_actions, bool(result)) == (3, 2, 5, False)
    assert result.actions == 16
    new = FileStore(tmp_path / "new.rpk")
    assert new.verify()
    assert [card.session_id for card in new.cards()] == ids
    assert [demand_roots(new.read(each).pieces) == roots[each] for each in ids] == [True, False, True]
    assert [card.lost for card in new.cards()] == [0, 5, 0]
    [gap] = [item for item in new.segment.scan(12, new.size()) if getattr(item, "kind", None) == GAP]
    assert damaged[places_of_damage(damaged, gap)] in gap.body()
    new.close()


def places_of_damage(data: bytes, gap: Any) -> slice:
    """Return where some bytes of the damaged block stand."""
    at = data.index(gap.body()[-100:-20])
    return slice(at, at + 80)


def test_a_store_without_damage_is_recovered_whole(path: Path, tmp_path: Path) -> None:
    ids = recorded(FileStore(path))

    result = recover_into(path, tmp_path / "new.rpk")

    assert result
    assert (result.whole_sessions, result.damage) == (3, ())
    with replaykit.load(tmp_path / "new.rpk", recovery="strict") as recording:
        assert [each.session_id for each in recording.list_sessions()] == ids


def test_nothing_is_overwritten(path: Path, tmp_path: Path) -> None:
    recorded(FileStore(path))
    target = tmp_path / "taken.rpk"
    target.write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        recover_into(path, target)
    assert target.read_text() == "mine"


@pytest.mark.parametrize("target", ["new.rpk", "new/", "new.mv"])
@pytest.mark.parametrize("source", ["runs.rpk", "runs/", "notes.mv"])
def test_each_kind_of_store_is_recovered_into_each(source: str, target: str, tmp_path: Path) -> None:
    kinds = {"runs.rpk": FileStore, "runs/": DirectoryStore, "notes.mv": SqliteStore}
    ids = recorded(kinds[source](f"{tmp_path}/{source}"))

    assert recover_into(f"{tmp_path}/{source}", f"{tmp_path}/{target}")

    with replaykit.load(f"{tmp_path}/{target}") as recording:
        assert recording.verify()
        assert [each.session_id for each in recording.list_sessions()] == ids
        assert [len(recording.get_session(each).actions) for each in ids] == [7, 7, 7]


def test_live_logs_without_a_writer_are_recovered_too(path: Path, tmp_path: Path) -> None:
    """A crash and damage at once: the log's session comes along, and its log stays where it is."""
    recorded(FileStore(path))
    recorder = replaykit.Recorder(path)

    @replaykit.records("find")
    def find(query: str) -> list[str]:
        return [query]

    recorder.start_session("crashed")
    find("last words")
    [log] = recorder.store.logs()
    left = Path(log.path).read_bytes()
    recorder.end_session()
    recorder.close()
    Path(log.path).write_bytes(left)
    os.chmod(log.path, 0o600)
    flip(path, places(path, ACTS)[0].offset + 60)

    recover_into(path, tmp_path / "new.rpk")

    assert Path(log.path).read_bytes() == left
    with replaykit.load(tmp_path / "new.rpk") as recording:
        assert len(recording.get_session("crashed").actions) == 1


def test_damage_in_a_file_of_a_directory_leaves_the_others(tmp_path: Path) -> None:
    ids = recorded(DirectoryStore(tmp_path / "runs"))
    more = recorded(DirectoryStore(tmp_path / "runs"))
    victim = sorted((tmp_path / "runs").iterdir())[0]
    flip(victim, places(victim, ACTS)[0].offset + 60)

    store = SalvagedStore(tmp_path / "runs")

    assert len(store.cards()) == 6
    assert sorted(len(sequences(store, each)) for each in (*ids, *more)) == [2, 7, 7, 7, 7, 7]


def test_a_page_that_sqlite_cannot_read_leaves_the_others(tmp_path: Path) -> None:
    """Rows behind a damaged page are reached from the other end."""
    path = tmp_path / "notes.mv"
    store = SqliteStore(path)
    ids = [uuid4() for _ in range(40)]
    for session_id in ids:
        store.publish(make_part(session_id, range(20), text=session_id.hex * 10))
    store.close()
    data = bytearray(path.read_bytes())
    page = int.from_bytes(data[16:18], "big")
    at = next(n for n in range(5, len(data) // page) if data[n * page] == 13)
    data[at * page : at * page + 200] = os.urandom(200)
    path.write_bytes(data)

    salvaged = SalvagedStore(path)

    assert len(salvaged.cards()) >= 30
    assert salvaged.damage
    result = recover_into(path, tmp_path / "new.rpk")
    assert result.whole_sessions >= 30


@pytest.mark.parametrize("target", ["new.rpk", "new/", "new.mv"])
def test_a_recovery_that_fails_leaves_nothing_behind(
    target: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The half of a store would look like one."""
    recorded(FileStore(path))

    def refuse(_path: str) -> None:
        raise StorageError("the new store does not verify")

    monkeypatch.setattr(recovering, "_verified", refuse)
    with pytest.raises(StorageError, match="does not verify"):
        recover_into(path, f"{tmp_path}/{target}")

    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("claimed", [b"\x59\xff\xff", b"\x5a\x03\xff\xff\xff"])
def test_a_length_that_claims_what_is_not_there_costs_no_search(claimed: bytes, path: Path) -> None:
    """Only bytes that were looked at count against the search; else one flipped bit of a length would end it."""
    ids = recorded(FileStore(path))
    data = bytearray(path.read_bytes())
    block = places(path, ACTS)[0]
    at = block.offset + data[block.offset : block.offset + 80].index(b"\x58\x20") + 34
    # Behind the hash of the block before: the body's head, here with another length.
    plain = data[at : at + 2] == b"\xd8\x18"
    at += 2 if plain else 0
    data[at : at + len(claimed)] = claimed
    path.write_bytes(data)

    store = SalvagedStore(path)

    assert [sequences(store, each) for each in ids] == [[5, 6], [*range(7)], [*range(7)]]
