"""What is erased is gone: from every version, from every known fork, from every byte of the files."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import blake3
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

import replaykit
from replaykit.errors import FrameNotFoundError, LockedError, ReadOnlyError, StorageError, UsageError
from replaykit.memory.connection import Connection
from replaykit.memory.engine import Engine

FOREVER = 2**63 - 1


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notes.mv")


@pytest.fixture
def engine(path: str) -> Iterator[Engine]:
    with Engine(path) as opened:
        yield opened


def bytes_of(path: str) -> bytes:
    """Return all that lies on the disk of a memory, in lower case as the index has words."""
    files = [path + end for end in ("", "-wal", "-shm") if os.path.exists(path + end)]
    return b"\n".join(Path(file).read_bytes() for file in files).lower()


def rows(engine: Engine, statement: str) -> list[Any]:
    with engine._connection.reading() as database:
        return database.execute(statement).fetchall()


def secret(number: int, step: str) -> dict[str, Any]:
    """Return fields whose every word says whose they are."""
    word = f"qq{number}z{step}"
    return {
        "content": f"first{word} common words {word}second",
        "title": f"title{word}",
        "uri": f"uri:{word}",
        "metadata": {f"key{word}": f"value{word}"},
    }


def traces(path: str, number: int) -> int:
    return bytes_of(path).count(f"qq{number}z".encode())


# -- the bytes ----------------------------------------------------------------------


def filled(engine: Engine, frames: int = 300) -> None:
    """Fill a memory so that its index has many segments and its pages have been split, freed and used again."""
    for first in range(1, frames + 1, 10):
        engine.put_many([secret(number, "put") for number in range(first, first + 10)])
    for number in range(1, frames + 1, 3):
        engine.update(number, **secret(number, "update"))
        engine.update(number, title=f"again qq{number}zagain")
    for number in range(2, frames + 1, 3):
        engine.delete(number)


@pytest.mark.parametrize("number", [1, 2, 3, 150, 151, 152, 298, 299, 300])
def test_no_byte_of_it_is_left_in_any_file(path: str, engine: Engine, number: int) -> None:
    """Updated, deleted or as it was put; while the memory is open and after it is closed."""
    filled(engine)
    assert traces(path, number)

    engine.erase(number)
    assert traces(path, number) == 0
    assert os.path.getsize(path + "-wal") < 40_000
    engine.close()
    assert traces(path, number) == 0
    assert traces(path, 42)


def test_no_piece_of_a_long_content_is_left(path: str, engine: Engine) -> None:
    """Also not where it filled pages of its own, and these were freed before."""
    pieces = [f"qqpiece{number:06}z".encode() for number in range(20_000)]
    whole = engine.put(b" ".join(pieces))
    text = engine.put(b" ".join(pieces).decode())
    engine.put_many(["other"] * 100)
    engine.update(text, "short")

    engine.erase([whole, text])
    assert b"qqpiece" not in bytes_of(path)


def test_what_was_pruned_before_is_gone_too(path: str, engine: Engine) -> None:
    """Rows that went earlier left their bytes in free pages and their words in the index."""
    filled(engine)
    engine.close()
    database = apsw.Connection(path)
    database.execute(f"DELETE FROM memory_versions WHERE until < {FOREVER}")
    database.execute("DELETE FROM memory_contents WHERE content_id NOT IN (SELECT content_id FROM memory_versions)")
    database.close()

    with Engine(path) as engine:
        assert engine.erase(1).versions == 1
        assert engine.erase(2).versions == 0
    assert traces(path, 1) == traces(path, 2) == 0


def test_what_other_frames_say_stays(engine: Engine) -> None:
    filled(engine)
    before = {frame.frame_id: frame for frame in engine.frames()}

    engine.erase([1, 2, 3])
    del before[1], before[3]
    assert {frame.frame_id: frame for frame in engine.frames()} == before
    assert len(engine) == len(before)
    with Engine(":memory:") as other:
        other.put_many(["x"] * 300)
        for number in range(1, 301):
            frame = before.get(number)
            if frame is None:
                other.delete(number)
            else:
                other.update(number, frame.content, title=frame.title, uri=frame.uri, metadata=frame.metadata)
        assert engine.snapshot(with_ids=True)[1] == other.snapshot(with_ids=True)[1]
        found = [(hit.frame_id, hit.score) for hit in engine.find("common qq42z", k=1000)]
        assert found == [(hit.frame_id, hit.score) for hit in other.find("common qq42z", k=1000)]


def test_a_content_that_another_frame_shares_stays(path: str, engine: Engine) -> None:
    """No writer of ours shares contents between frames; a file of another may."""
    engine.put_many(["shared", "own"])
    engine.close()
    database = apsw.Connection(path)
    database.execute("UPDATE memory_versions SET content_id = 1")
    database.close()

    with Engine(path) as engine:
        engine.erase(2)
        assert engine.get(1).content == "shared"


# -- versions -------------------------------------------------------------------------


def test_every_version_goes_and_a_keyed_hash_of_each_stays(engine: Engine) -> None:
    frame_id = engine.put("one")
    engine.put("other")
    engine.update(frame_id, "two")
    engine.delete(frame_id)

    erasure = engine.erase(frame_id)
    assert (erasure.frame_ids, erasure.versions, erasure.generation) == ((frame_id,), 2, 4)
    assert rows(engine, f"SELECT * FROM memory_versions WHERE frame_id = {frame_id}") == []
    assert rows(engine, "SELECT count(*) FROM memory_contents") == [(1,)]
    assert engine.frame_ids_at(1) == []
    ((key,),) = rows(engine, "SELECT hash_key FROM memory_identity")
    assert rows(engine, "SELECT frame_id, since, until, keyed_hash FROM memory_erasures ORDER BY since") == [
        (frame_id, 1, 3, blake3.blake3(b"one", key=key).digest()),
        (frame_id, 3, 4, blake3.blake3(b"two", key=key).digest()),
    ]
    assert all(time for (time,) in rows(engine, "SELECT erased_ns FROM memory_erasures"))


def test_no_plain_hash_stays(path: str, engine: Engine) -> None:
    """A hash without a key tells a short content to whoever tries all of them."""
    frame_id = engine.put("1234")
    engine.update(frame_id, "5678")
    hashes = [value for (value,) in rows(engine, "SELECT fields_hash FROM memory_versions")]
    engine.put("1234", dedupe=True)
    engine.erase(frame_id)

    data = Path(path).read_bytes()
    assert hashes[1] not in data
    assert engine.get(2).content == "1234"


def test_a_live_frame_makes_a_generation_and_a_deleted_one_does_not(engine: Engine) -> None:
    live, deleted = engine.put_many(["live", "deleted"])
    engine.delete(deleted)

    assert engine.erase(deleted).generation == 2
    assert engine.last_generation() == engine.generation == 2
    assert engine.erase(live).generation == 3
    assert engine.last_generation() == engine.generation == 3
    assert engine.put("next") == 3


def test_several_go_in_one_generation(engine: Engine) -> None:
    engine.put_many(["a", "b", "c"])

    erasure = engine.erase(number for number in (3, 1, 3))
    assert (erasure.frame_ids, erasure.versions, erasure.generation) == ((3, 1), 2, 2)
    assert engine.frame_ids_at(2) == [2]


def test_vectors_go_with_their_versions(engine: Engine) -> None:
    engine.put_many(["a", "b"])
    with engine._connection.writing() as database:
        database.execute("CREATE TABLE memory_vectors (version_id INTEGER PRIMARY KEY, vector BLOB)")
        database.execute("INSERT INTO memory_vectors SELECT version_id, x'00' FROM memory_versions")

    engine.erase(1)
    assert rows(engine, "SELECT version_id FROM memory_vectors") == [(2,)]


@pytest.mark.parametrize("frame_id", [0, 3, -1, True, None, "1", 1.0, 2**63, [1, 99], [1, None], ["1"]], ids=repr)
def test_an_unknown_id_is_refused_and_nothing_is_changed(engine: Engine, frame_id: Any) -> None:
    engine.put_many(["a", "b"])

    with pytest.raises(FrameNotFoundError):
        engine.erase(frame_id)
    assert (len(engine), engine.generation) == (2, 1)


def test_none_at_all_is_refused(engine: Engine) -> None:
    with pytest.raises(UsageError, match="no frame to erase"):
        engine.erase([])


def test_erasing_again_is_fine(engine: Engine) -> None:
    engine.put("a")
    engine.erase(1)

    again = engine.erase(1)
    assert (again.versions, again.generation) == (0, 2)
    assert len(rows(engine, "SELECT * FROM memory_erasures")) == 1


def test_frames_that_are_being_read_go_on_without_it(engine: Engine) -> None:
    engine.put_many(["a", "b", "c"])
    frames = engine.frames()
    assert next(frames).content == "a"
    engine.erase(2)

    assert [frame.content for frame in frames] == ["c"]


def test_a_memory_in_ram_erases_too() -> None:
    with Engine(":memory:") as engine:
        engine.put_many(["red fox", "fox"])
        engine.erase(1)

        assert [hit.frame_id for hit in engine.find("red fox")] == [2]


def test_reading_only_erases_nothing(path: str, engine: Engine) -> None:
    engine.put("a")
    with Engine(path, read_only=True) as reader, pytest.raises(ReadOnlyError):
        reader.erase(1)
    assert len(engine) == 1


def test_inside_a_put_many_it_is_refused(engine: Engine) -> None:
    engine.put("a")
    with pytest.raises(UsageError, match="in the middle of another call"):
        engine.put_many(["b"] * 256, progress=lambda done: engine.erase(1))
    assert len(engine) == 1


class EraseAndFind(RuleBasedStateMachine):
    """Whatever was written, what is erased leaves no byte, and the rest stays."""

    def __init__(self) -> None:
        super().__init__()
        self.path = os.path.abspath(f"machine{id(self)}.mv")
        self.engine = Engine(self.path)
        self.live: dict[int, dict[str, Any]] = {}
        self.erased: set[int] = set()
        self.known: set[int] = set()

    def teardown(self) -> None:
        self.engine.close()
        for number in self.erased:
            assert traces(self.path, number) == 0
        os.remove(self.path)

    def _next(self) -> int:
        return max(self.known, default=0) + 1

    @rule(count=st.integers(1, 30))
    def put_many(self, count: int) -> None:
        first = self._next()
        items = {number: secret(number, "put") for number in range(first, first + count)}
        assert self.engine.put_many(list(items.values())) == list(items)
        self.live |= items
        self.known |= items.keys()

    @precondition(lambda self: self.live)
    @rule(data=st.data(), step=st.sampled_from(["u", "v"]))
    def update(self, data: Any, step: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.live)))
        self.live[number] = secret(number, step)
        self.engine.update(number, **self.live[number])

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        number = data.draw(st.sampled_from(sorted(self.live)))
        self.engine.delete(number)
        del self.live[number]

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def erase(self, data: Any) -> None:
        numbers = data.draw(st.lists(st.sampled_from(sorted(self.known)), min_size=1, max_size=3, unique=True))
        self.engine.erase(numbers)
        for number in numbers:
            self.live.pop(number, None)
            assert traces(self.path, number) == 0
        self.erased |= set(numbers)

    @rule()
    def reopen(self) -> None:
        self.engine.close()
        self.engine = Engine(self.path)

    @rule()
    def holds_the_rest(self) -> None:
        held = {frame.frame_id: frame for frame in self.engine.frames()}
        assert held.keys() == self.live.keys()
        for number, fields in self.live.items():
            assert held[number].content == fields["content"]
            (hit,) = self.engine.find(fields["content"].split()[0], k=5)
            assert hit.frame_id == number


TestEraseAndFind = EraseAndFind.TestCase
TestEraseAndFind.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)


# -- forks --------------------------------------------------------------------------


def fork(path: str, to: str) -> str:
    """Make a fork as the file format says: own identity, parent's id, a note in the parent."""
    name = os.urandom(16)
    shutil.copy(path, to)
    parent = apsw.Connection(path)
    memory_id, generation = parent.execute("SELECT memory_id, generation FROM memory_identity, memory_state").get
    parent.execute("INSERT INTO memory_forks VALUES (?, ?, ?, 1)", (name, to, generation))
    parent.close()
    child = apsw.Connection(to)
    child.execute(
        "DELETE FROM memory_forks; UPDATE memory_identity SET memory_id = ?, hash_key = ?, parent_id = ?, "
        "parent_path = ?, forked_at = ?",
        (name, os.urandom(32), memory_id, path, generation),
    )
    child.close()
    return to


@pytest.fixture
def family(tmp_path: Path, path: str) -> list[str]:
    """A memory, a fork of it, a fork of that; the second writes on."""
    with Engine(path) as engine:
        engine.put_many([secret(1, "root"), secret(2, "root")])
    child = fork(path, str(tmp_path / "child.mv"))
    with Engine(child) as engine:
        engine.update(1, **secret(1, "child"))
        engine.put("the child's own third frame")
    grandchild = fork(child, str(tmp_path / "grandchild.mv"))
    with Engine(grandchild) as engine:
        engine.delete(1)
    return [path, child, grandchild]


def test_it_is_gone_from_forks_and_their_forks(family: list[str]) -> None:
    with Engine(family[0]) as engine:
        erasure = engine.erase(1)

    assert (set(erasure.forks), erasure.unreached, erasure.is_complete) == (set(family[1:]), {}, True)
    for path in family:
        assert traces(path, 1) == 0
        assert traces(path, 2)
        with Engine(path) as engine:
            assert 1 not in engine


def test_another_frame_under_the_same_number_in_a_fork_stays(family: list[str]) -> None:
    """After the fork both count on; what one of them puts is not the other's."""
    with Engine(family[0]) as engine:
        assert engine.put("the parent's own third frame") == 3
        engine.erase(3)

    with Engine(family[1]) as engine:
        assert engine.get(3).content == "the child's own third frame"


def test_a_fork_whose_old_versions_were_pruned_is_known_by_the_frames_time(family: list[str]) -> None:
    for path in family[:2]:
        with Engine(path) as engine:
            engine.update(1, "qq1z later")
        database = apsw.Connection(path)
        database.execute(f"DELETE FROM memory_versions WHERE frame_id = 1 AND until < {FOREVER}")
        database.execute("DELETE FROM memory_contents WHERE content_id NOT IN (SELECT content_id FROM memory_versions)")
        database.close()

    with Engine(family[0]) as engine:
        engine.erase(1)
    assert traces(family[1], 1) == 0


def test_a_fork_that_is_not_there_is_named_and_done_when_it_is_back(family: list[str]) -> None:
    root, child, grandchild = family
    os.rename(child, child + ".away")
    with Engine(root) as engine:
        erasure = engine.erase(1)
        assert (erasure.forks, list(erasure.unreached), erasure.is_complete) == ((), [child], False)
        assert traces(root, 1) == 0

        os.rename(child + ".away", child)
        again = engine.erase(1)
    assert (set(again.forks), again.unreached, again.versions) == ({child, grandchild}, {}, 0)
    assert traces(child, 1) == traces(grandchild, 1) == 0


def test_another_memory_in_the_place_of_a_fork_is_left_as_it_is(family: list[str]) -> None:
    root, child, _ = family
    os.remove(child)
    with Engine(child) as other:
        other.put("someone else's")
    before = Path(child).read_bytes()

    with Engine(root) as engine:
        assert "another memory" in engine.erase(1).unreached[child]
    assert Path(child).read_bytes() == before


@pytest.mark.parametrize("kind", ["folder", "pipe", "text", "link"])
def test_something_else_in_the_place_of_a_fork_is_named(family: list[str], kind: str) -> None:
    root, child, _ = family
    os.rename(child, child + ".real")
    {
        "folder": lambda: os.mkdir(child),
        "pipe": lambda: os.mkfifo(child),
        "text": lambda: Path(child).write_text("no memory"),
        "link": lambda: os.symlink(child + ".real", child),
    }[kind]()

    with Engine(root) as engine:
        assert list(engine.erase(1).unreached) == [child]


def test_a_fork_that_is_in_use_is_named_and_its_parent_erased(
    family: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for it is bounded."""
    root, child, grandchild = family
    monkeypatch.setattr("replaykit.storage.database.BUSY_TIMEOUT_MS", 50)
    other = apsw.Connection(child)
    other.execute("BEGIN IMMEDIATE")
    with Engine(root) as engine:
        erasure = engine.erase(1)
    other.close()

    assert (erasure.forks, list(erasure.unreached)) == ((grandchild,), [child])
    assert traces(root, 1) == traces(grandchild, 1) == 0


def test_forks_that_name_each_other_end(family: list[str]) -> None:
    """A file may claim anything."""
    root, child, _ = family
    database = apsw.Connection(child)
    ids = [apsw.Connection(path).execute("SELECT memory_id FROM memory_identity").get for path in (root, child)]
    for memory_id, path in zip(ids, (root, child), strict=True):
        database.execute("INSERT OR REPLACE INTO memory_forks VALUES (?, ?, 0, 0)", (memory_id, path))
    database.close()

    with Engine(root) as engine:
        assert set(engine.erase(1).forks) == set(family[1:])


def test_a_note_of_a_fork_that_makes_no_sense_is_named(path: str, engine: Engine) -> None:
    engine.put("a")
    with engine._connection.writing() as database:
        database.execute("INSERT INTO memory_forks VALUES (x'01', x'ff00', 'when', 0), (x'02', 'a' || char(0), 0, 0)")

    assert len(engine.erase(1).unreached) == 2
    assert len(engine) == 0


def test_a_long_line_of_forks_is_gone_through(tmp_path: Path, path: str) -> None:
    with Engine(path) as engine:
        engine.put_many([secret(1, "root"), "x"])
    line = [path]
    for number in range(30):
        line.append(fork(line[-1], str(tmp_path / f"{number}.mv")))

    with Engine(path) as engine:
        assert engine.erase(1).forks == tuple(line[1:])
    assert [traces(each, 1) for each in line] == [0] * len(line)


# -- what goes wrong on the way ---------------------------------------------------------


def killed_at_the_rewriting(path: str, frame_id: int) -> None:
    child = os.fork()
    if child == 0:
        Connection.rewrite = lambda self: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
        Engine(path).erase(frame_id)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def test_who_is_killed_before_the_file_is_rewritten_has_it_done_by_the_next_opening(path: str) -> None:
    with Engine(path) as engine:
        filled(engine)
    killed_at_the_rewriting(path, 1)
    assert traces(path, 1)
    with Engine(path, read_only=True) as engine:
        assert 1 not in engine
    assert traces(path, 1)

    with Engine(path) as engine:
        assert traces(path, 1) == 0
        assert 1 not in engine
        assert all(time for (time,) in rows(engine, "SELECT erased_ns FROM memory_erasures"))


def test_who_is_killed_in_a_fork_finds_the_frame_whole_and_erases_again(family: list[str]) -> None:
    killed_at_the_rewriting(family[0], 1)
    with Engine(family[0]) as engine:
        assert engine.get(1).content == secret(1, "root")["content"]

        assert set(engine.erase(1).forks) == set(family[1:])
    assert [traces(path, 1) for path in family] == [0, 0, 0]


def test_a_reader_that_does_not_end_is_told_and_the_bytes_go_later(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replaykit.storage.database.BUSY_TIMEOUT_MS", 50)
    with Engine(path) as engine:
        filled(engine)
        reader = apsw.Connection(path)
        reader.execute("BEGIN; SELECT count(*) FROM memory_versions").fetchall()
        with pytest.raises(LockedError):
            engine.erase(1)
        assert 1 not in engine
        with Engine(path) as other:
            assert len(other) == len(engine)
        reader.close()

        assert engine.erase(1).versions == 0
        assert traces(path, 1) == 0


def test_a_disk_without_room_for_the_rewriting_is_told(path: str, engine: Engine) -> None:
    filled(engine)
    database = engine._connection._handles[os.getpid()].connection
    assert database is not None
    database.execute("PRAGMA max_page_count = 20")

    with pytest.raises(StorageError):
        engine.erase(1)
    database.execute("PRAGMA max_page_count = 1000000")
    engine.erase(1)
    assert traces(path, 1) == 0


# -- recorded -----------------------------------------------------------------------------


def test_it_is_recorded_as_a_delete_and_names_the_sessions_that_hold_the_frame(path: str) -> None:
    with replaykit.open(path) as memory:
        with memory.session("writes") as writes:
            first, second = memory.put("qq1z one"), memory.put("two")
        with memory.session("reads") as reads:
            memory.find("one")
        with memory.session("neither"):
            memory.get(second)
        with memory.session("erases") as erases:
            erasure = memory.erase(first)

        assert set(erasure.sessions) == {writes.id, reads.id}
        assert not erasure.is_complete
        (action,) = memory.get_session(erases.id).actions
        assert (action.kind, action.name, action.affected_frames) == ("delete", "erase", (first,))
        assert (action.output, action.generation) == (erasure, erasure.generation)
        for session_id in erasure.sessions:
            memory.delete_session(session_id, erase=True)
        assert memory.erase(first).is_complete
    assert traces(path, 1) == 0


def test_a_session_that_is_open_is_named_too(path: str) -> None:
    with replaykit.open(path) as memory, memory.session("both") as session:
        frame_id = memory.put("one")

        assert memory.erase([frame_id]).sessions == (session.id,)


def test_a_refused_erasure_is_a_failed_action(path: str) -> None:
    with replaykit.open(path) as memory:
        with memory.session("refused"), pytest.raises(FrameNotFoundError):
            memory.erase(7)

        (action,) = memory.get_session("last").actions
        assert (action.name, action.error.type) == ("erase", "replaykit.errors.FrameNotFoundError")
