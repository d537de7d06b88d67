"""The memory keeps what it was given, says what it holds and survives what kills its process."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import apsw
import pytest
from effort import effort
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from replaykit.errors import (
    ClosedError,
    DamagedError,
    FrameNotFoundError,
    LockedError,
    NotAStoreError,
    ReadOnlyError,
    StorageError,
    StoreNotFoundError,
    UnsupportedVersionError,
    UsageError,
)
from replaykit.memory.engine import Engine
from replaykit.memory.files import read_file

WORDS = ["red fox", "blue fox", "", b"fox"]
TEXTS = st.text(st.characters(), max_size=30)
CONTENTS = TEXTS | st.binary(max_size=30)
OPTIONAL_TEXTS = st.none() | TEXTS
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
METADATA = st.none() | st.dictionaries(st.text(max_size=5), JSON, max_size=3)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "notes.mv")


@pytest.fixture
def memory(path):
    with Engine(path) as engine:
        yield engine


def user_fields(frame):
    return frame.content, frame.title, frame.uri, frame.metadata


def state_hash(engine):
    return engine.snapshot(with_ids=False)[1]


# -- against a model --------------------------------------------------------------


class AgainstADict(RuleBasedStateMachine):
    """A memory is a dict of frames with ascending keys, a search and a hash."""

    frames = Bundle("frames")

    def __init__(self):
        super().__init__()
        self.engine = Engine(":memory:")
        self.model = {}
        self.generation = 0
        self.newest = 0
        self.ids_at = {0: ()}

    def teardown(self):
        self.engine.close()

    def _wrote(self):
        self.newest = max((self.newest, *self.model))
        self.generation += 1
        self.ids_at[self.generation] = tuple(sorted(self.model))
        assert self.generation == self.engine.last_generation()

    @rule(
        target=frames,
        content=st.sampled_from(WORDS) | CONTENTS,
        title=OPTIONAL_TEXTS,
        uri=OPTIONAL_TEXTS,
        metadata=METADATA,
    )
    def put(self, content, title, uri, metadata):
        frame_id = self.engine.put(content, title=title, uri=uri, metadata=metadata)
        assert frame_id > self.newest
        self.model[frame_id] = (content, title, uri, metadata or {})
        self._wrote()
        return frame_id

    @rule(contents=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
    def put_many(self, contents):
        for frame_id, content in zip(self.engine.put_many(contents), contents, strict=True):
            self.model[frame_id] = (content, None, None, {})
        self._wrote()

    @rule(
        contents=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
        title=st.sampled_from([None, "t"]),
        singly=st.booleans(),
    )
    def put_once(self, contents, title, singly):
        before = dict(self.model)
        if singly:
            given = [self.engine.put(contents[0], title=title, dedupe=True)]
        else:
            given = self.engine.put_many([{"content": each, "title": title} for each in contents], dedupe=True)
        for frame_id, content in zip(given, contents, strict=False):
            self.model.setdefault(frame_id, (content, title, None, {}))
            assert frame_id == self._lowest_like(content, title)
        if self.model != before:
            self._wrote()

    def _lowest_like(self, content, title):
        wanted = (type(content), content, title, None, {})
        return min(number for number, fields in self.model.items() if (type(fields[0]), *fields) == wanted)

    @rule(target=frames, content=CONTENTS)
    def put_file(self, content):
        data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        Path("file.txt").write_bytes(data)
        found = read_file("file.txt")
        frame_id = self.engine.put(found.content, title=found.name, uri=found.uri)
        self.model[frame_id] = (_as_file_content(data), "file.txt", Path("file.txt").absolute().as_uri(), {})
        self._wrote()
        return frame_id

    @rule()
    def put_none(self):
        assert self.engine.put_many([]) == []

    @rule(frame_id=frames, content=st.sampled_from(WORDS) | CONTENTS)
    def update_content(self, frame_id, content):
        if frame_id not in self.model:
            return
        self.engine.update(frame_id, content)
        self.model[frame_id] = (content, *self.model[frame_id][1:])
        self._wrote()

    @rule(frame_id=frames, title=OPTIONAL_TEXTS, metadata=METADATA)
    def update_the_rest(self, frame_id, title, metadata):
        if frame_id not in self.model:
            return
        self.engine.update(frame_id, title=title, metadata=metadata)
        content, _, uri, _ = self.model[frame_id]
        self.model[frame_id] = (content, title, uri, metadata or {})
        self._wrote()

    @rule(frame_id=consumes(frames))
    def delete(self, frame_id):
        if frame_id in self.model:
            self.engine.delete(frame_id)
            del self.model[frame_id]
            self._wrote()
        for refused in (self.engine.delete, self.engine.get, self.engine.update):
            with pytest.raises(FrameNotFoundError):
                refused(frame_id)

    @rule(data=st.data())
    def erase(self, data):
        """Live frames and deleted ones, of the present and of the past."""
        number = data.draw(st.integers(0, self.newest + 1))
        if not 0 < number <= self.newest:
            with pytest.raises(FrameNotFoundError):
                self.engine.erase(number)
            return
        was_live = self.model.pop(number, None) is not None
        self.engine.erase(number)
        self.ids_at = {at: tuple(each for each in ids if each != number) for at, ids in self.ids_at.items()}
        if was_live:
            self._wrote()

    @rule()
    def hash_is_that_of_the_same_frames_put_another_way(self):
        with Engine(":memory:") as other:
            for frame_id in range(1, max(self.model, default=0) + 1):
                content, title, uri, metadata = self.model.get(frame_id, ("", None, None, None))
                assert frame_id == other.put(content, title=title, uri=uri, metadata=metadata)
            for frame_id in set(range(1, len(other) + 1)) - self.model.keys():
                other.delete(frame_id)
            mine, its = self.engine.snapshot(with_ids=True), other.snapshot(with_ids=True)
        assert mine[1] == its[1]
        assert mine[0].lex_index_hash == its[0].lex_index_hash
        assert mine[0].frame_ids == its[0].frame_ids

    @rule()
    def ids_of_every_generation_can_still_be_read(self):
        for generation, expected in self.ids_at.items():
            assert expected == tuple(self.engine.frame_ids_at(generation))

    @invariant()
    def finds_what_the_dict_holds(self):
        for word in ("red", "fox"):
            expected = {
                frame_id
                for frame_id, (content, title, _, _) in self.model.items()
                if word in f"{content if isinstance(content, str) else ''} {title}".split()
            }
            assert expected == {hit.frame_id for hit in self.engine.find(word, k=1_000)}

    @invariant()
    def holds_what_the_dict_holds(self):
        held = {frame.frame_id: user_fields(frame) for frame in self.engine.frames()}
        assert self.model == held
        assert list(held) == sorted(held)
        assert all(type(held[frame_id][0]) is type(self.model[frame_id][0]) for frame_id in held)
        assert len(self.model) == len(self.engine)
        assert self.generation == self.engine.generation


def _as_file_content(data):
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data
    return data if "\x00" in text else text


TestAgainstADict = AgainstADict.TestCase
TestAgainstADict.settings = settings(
    max_examples=effort(1_500), stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)


# -- what goes in comes out ---------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=CONTENTS, title=OPTIONAL_TEXTS, uri=OPTIONAL_TEXTS, metadata=METADATA)
def test_a_frame_comes_back_exactly(memory, content, title, uri, metadata):
    frame = memory.get(memory.put(content, title=title, uri=uri, metadata=metadata))

    assert (content, title, uri, metadata or {}) == user_fields(frame)
    assert type(content) is type(frame.content)


@pytest.mark.parametrize(
    "content",
    [
        "",
        b"",
        "\x00",
        "a\x00b",
        "\ud800",
        "\ud83d\ude00",
        "\U0001f600",
        "\ufeffx",
        b"\xff\x00",
        "é",
        "e\u0301",
    ],
)
def test_unusual_contents_come_back_after_reopening(path, content):
    with Engine(path) as memory:
        frame_id = memory.put(content, title="\ud800\x00", uri="\udfff", metadata={"\ud800": "\x00\udfff"})
    with Engine(path) as memory:
        frame = memory.get(frame_id)

        assert (content, "\ud800\x00", "\udfff", {"\ud800": "\x00\udfff"}) == user_fields(frame)
        memory.delete(frame_id)


def test_a_frame_says_when_it_came_and_which_write_made_it(path):
    with Engine(path, time_ns=iter([111, 222, 333]).__next__) as memory:
        first = memory.put("one")
        memory.put("two")
        memory.update(first, "three")
        frame = memory.get(first)

    assert (frame.created_ns, frame.generation) == (111, 3)


def test_metadata_that_changes_later_changes_nothing(memory):
    metadata = {"tags": ["a"]}
    frame_id = memory.put("x", metadata=metadata)
    metadata["tags"].append("b")
    memory.get(frame_id).metadata["tags"].append("c")

    assert memory.get(frame_id).metadata == {"tags": ["a"]}


def test_an_update_that_gives_none_clears_and_one_that_gives_nothing_keeps(memory):
    frame_id = memory.put("x", title="t", uri="u", metadata={"a": 1})
    memory.update(frame_id, title=None)
    assert user_fields(memory.get(frame_id)) == ("x", None, "u", {"a": 1})

    memory.update(frame_id, uri=None, metadata=None)
    assert user_fields(memory.get(frame_id)) == ("x", None, None, {})


def test_ids_are_never_used_again(path):
    with Engine(path) as memory:
        ids = memory.put_many(["a", "b"])
        memory.delete(ids[-1])
    with Engine(path) as memory:
        assert memory.put("c") > ids[-1]


NO_CONTENT = [None, 3, bytearray(b"x"), ["x"], pytest.param(object(), id="an object")]
NO_METADATA = [
    3,
    "text",
    [("a", 1)],
    {1: "a"},
    {"a": b"bytes"},
    {"a": math.nan},
    {"a": [math.inf]},
    {"a": {1, 2}},
    pytest.param({"a": object()}, id="an object"),
    {"a": "\ud83d\ude00"},
]


@pytest.mark.parametrize("content", NO_CONTENT, ids=repr)
def test_content_of_another_type_is_refused_and_nothing_written(memory, content):
    with pytest.raises(UsageError, match="content"):
        memory.put(content)
    with pytest.raises(UsageError, match="item 1: content"):
        memory.put_many(["fine", content])

    assert (len(memory), memory.generation) == (0, 0)


@pytest.mark.parametrize("metadata", NO_METADATA, ids=ascii)
def test_metadata_that_cannot_be_stored_is_refused_and_nothing_written(memory, metadata):
    frame_id = memory.put("x", metadata={"old": True})
    for refused in (
        lambda: memory.put("y", metadata=metadata),
        lambda: memory.update(frame_id, metadata=metadata),
    ):
        with pytest.raises(UsageError, match="metadata"):
            refused()

    assert (len(memory), memory.generation) == (1, 1)
    assert memory.get(frame_id).metadata == {"old": True}


def test_metadata_without_end_is_refused(memory):
    endless = {}
    endless["self"] = endless

    with pytest.raises(UsageError, match="deeper"):
        memory.put("x", metadata=endless)


@pytest.mark.parametrize("keywords", [{"title": 3}, {"uri": b"u"}, {"title": ["t"]}])
def test_titles_and_uris_are_texts(memory, keywords):
    with pytest.raises(UsageError):
        memory.put("x", **keywords)


@pytest.mark.parametrize("frame_id", [0, -1, 2, 2**63, 10**30, "1", 1.0, True, None, b"1"], ids=repr)
def test_what_is_no_live_id_is_not_found(memory, frame_id):
    memory.put("x")

    assert frame_id not in memory
    for refused in (memory.get, memory.delete, memory.update):
        with pytest.raises(FrameNotFoundError) as caught:
            refused(frame_id)
        assert frame_id is caught.value.frame_id
    assert (memory.generation, len(memory)) == (1, 1)


# -- put_many -------------------------------------------------------------------------


def test_put_many_takes_contents_and_mappings(memory):
    ids = memory.put_many(["a", b"b", {"content": "c", "title": "t", "uri": "u", "metadata": {"k": 1}}])

    assert [user_fields(memory.get(frame_id)) for frame_id in ids] == [
        ("a", None, None, {}),
        (b"b", None, None, {}),
        ("c", "t", "u", {"k": 1}),
    ]
    assert 1 == memory.generation == memory.last_generation()


@pytest.mark.parametrize("item", [{}, {"title": "t"}, {"content": "c", "text": "d"}, {"content": "c", 1: 2}, None])
def test_put_many_keeps_all_or_nothing(memory, item):
    with pytest.raises(UsageError, match="item 2"):
        memory.put_many(["a", "b", item])

    assert (len(memory), memory.generation, list(memory.find("a"))) == (0, 0, [])


@pytest.mark.parametrize("items", ["text", b"bytes", {"content": "c"}])
def test_put_many_refuses_one_item(memory, items):
    with pytest.raises(UsageError, match="put_many"):
        memory.put_many(items)


def test_put_many_reports_how_far_it_is(memory):
    seen = []
    memory.put_many(("x" for _ in range(600)), progress=seen.append)

    assert sorted(seen) == seen
    assert seen[-1] == 600 and len(seen) > 1


def test_an_interrupted_put_many_leaves_nothing(memory):
    def interrupt(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        memory.put_many(["x"] * 300, progress=interrupt)

    assert (len(memory), memory.generation) == (0, 0)
    assert memory.put("y") == 1


def test_items_may_read_the_memory_but_not_write(memory):
    first = memory.put("seed")
    memory.put_many(memory.get(first).content + str(number) for number in range(3))
    assert len(memory) == 4

    with pytest.raises(UsageError, match="put_many"):
        memory.put_many(memory.put("nested") for _ in range(2))
    assert len(memory) == 4


def test_put_many_is_fast(memory, capsys):
    """Printed, not asserted: the machine may be busy."""
    docstring = "Return the block starting at the offset, or None if the data ends inside it. " * 4
    began = time.perf_counter()
    memory.put_many(f"{number} {docstring}" for number in range(5_000))
    with capsys.disabled():
        print(f" put_many: {5_000 / (time.perf_counter() - began):,.0f} texts/s", end=" ")

    assert len(memory) == 5_000


# -- generations and snapshots ------------------------------------------------------------


def test_each_write_call_makes_one_generation(memory):
    assert memory.generation == 0
    frame_id = memory.put("a")
    memory.put_many(["b", "c"])
    memory.update(frame_id, "d")
    memory.delete(frame_id)

    assert memory.generation == 4


def test_last_generation_belongs_to_the_thread(memory):
    memory.put("a")
    mine = memory.last_generation()
    seen = []
    thread = threading.Thread(target=lambda: (memory.put("b"), seen.append(memory.last_generation())))
    thread.start()
    thread.join()

    assert (mine, memory.last_generation(), seen) == (1, 1, [2])
    memory.find("a")
    assert memory.last_generation() == 2


def test_an_empty_memory_has_a_state(memory, tmp_path):
    snapshot, digest = memory.snapshot(with_ids=False)

    assert (
        snapshot.frame_count,
        snapshot.generation,
        snapshot.wal_sequence,
        snapshot.vec_index_hash,
        len(digest),
    ) == (0, 0, 0, None, 32)
    with Engine(str(tmp_path / "other.mv")) as other:
        assert digest == state_hash(other)
    memory.delete(memory.put("gone"))
    assert digest == state_hash(memory)


def test_lazy_ids_are_those_of_their_generation(memory):
    ids = memory.put_many(["a", "b", "c"])
    snapshot, _ = memory.snapshot(with_ids=False)
    memory.delete(ids[0])
    memory.update(ids[1], "new")
    memory.put("d")

    assert ids == list(snapshot.frame_ids)
    assert (3, ids[1:], ids[-1]) == (
        len(snapshot.frame_ids),
        list(snapshot.frame_ids[1:]),
        snapshot.frame_ids[-1],
    )
    assert snapshot.frame_ids == tuple(ids) and tuple(ids) == tuple(snapshot.frame_ids)


def test_ids_read_with_the_snapshot_outlive_the_memory(path):
    with Engine(path) as memory:
        ids = memory.put_many(["a", "b"])
        complete, _ = memory.snapshot(with_ids=True)
        lazy, _ = memory.snapshot(with_ids=False)
        pickled = pickle.dumps(lazy.frame_ids)
        unread, _ = memory.snapshot(with_ids=False)

    assert tuple(ids) == complete.frame_ids == pickle.loads(pickled)
    with pytest.raises(ClosedError):
        list(unread.frame_ids)


def test_the_index_hash_follows_what_can_be_searched(memory):
    frame_id = memory.put("a", title="t")
    before, state = memory.snapshot(with_ids=False)
    memory.update(frame_id, uri="u")
    same, other_state = memory.snapshot(with_ids=False)
    memory.update(frame_id, title="new")
    changed, _ = memory.snapshot(with_ids=False)

    assert before.lex_index_hash == same.lex_index_hash != changed.lex_index_hash
    assert state != other_state


def test_frames_are_those_of_the_moment_they_were_asked_for(memory):
    memory.put_many(str(number) for number in range(1_200))
    frames = memory.frames()
    memory.delete(1)
    memory.update(2, "changed")
    memory.put("late")

    assert [str(number) for number in range(1_200)] == [frame.content for frame in frames]


# -- the file ---------------------------------------------------------------------------------


def test_everything_is_there_after_reopening(path):
    with Engine(path) as memory:
        ids = memory.put_many([f"note {number}" for number in range(20)])
        memory.delete(ids[3])
        memory.update(ids[4], "changed words")
        before = memory.snapshot(with_ids=True)
    with Engine(path, create=False) as memory:
        assert before == memory.snapshot(with_ids=True)
        assert [ids[4]] == [hit.frame_id for hit in memory.find("changed")]
        memory.update(ids[4], "other")
        assert list(memory.find("changed")) == []


def test_files_are_private_whatever_the_umask(path):
    old = os.umask(0)
    try:
        with Engine(path) as memory:
            memory.put("secret")
            modes = {name: stat.S_IMODE(os.stat(path + name).st_mode) for name in ("", "-wal", "-shm")}
    finally:
        os.umask(old)

    assert modes == {"": 0o600, "-wal": 0o600, "-shm": 0o600}


def test_a_directory_that_is_a_symlink_is_fine_and_a_file_is_not(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with Engine(str(tmp_path / "link" / "notes.mv")) as memory:
        memory.put("x")
    (tmp_path / "alias.mv").symlink_to(tmp_path / "real" / "notes.mv")

    with pytest.raises(StorageError):
        Engine(str(tmp_path / "alias.mv"))


def test_a_file_is_not_created_unless_asked(path):
    with pytest.raises(StoreNotFoundError):
        Engine(path, create=False)
    assert not os.path.exists(path)


def test_read_only_reads_and_refuses_to_write(path):
    with Engine(path) as memory:
        frame_id = memory.put("x")
    with Engine(path, read_only=True) as memory:
        assert memory.get(frame_id).content == "x"
        writes = [
            lambda: memory.put("y"),
            lambda: memory.put_many(["y"]),
            lambda: memory.update(frame_id, "y"),
            lambda: memory.delete(frame_id),
        ]
        for write in writes:
            with pytest.raises(ReadOnlyError):
                write()


def test_reading_only_sees_what_another_writes(path):
    with Engine(path) as writer, Engine(path, read_only=True) as reader:
        frame_id = writer.put("fresh")

        assert reader.get(frame_id).content == "fresh"
        assert reader.generation == 1


def test_two_writers_of_one_file_agree(path):
    with Engine(path) as one, Engine(path) as other:
        ids = [one.put("a"), other.put("b"), one.put("c")]

        assert ids == [1, 2, 3]
        assert state_hash(one) == state_hash(other)
        assert 3 == one.generation == other.generation


def test_another_file_is_refused_and_left_as_it_is(tmp_path):
    for name, data in (("a.txt", b"hello"), ("b.db", None)):
        target = tmp_path / name
        if data is None:
            connection = apsw.Connection(str(target))
            connection.execute("CREATE TABLE t (x); PRAGMA application_id = 7")
            connection.close()
        else:
            target.write_bytes(data)
        before = target.read_bytes()
        with pytest.raises(NotAStoreError):
            Engine(str(target))
        assert before == target.read_bytes()


def alter(path, statement):
    connection = apsw.Connection(path)
    connection.execute(statement)
    connection.close()


def drop_memory(path):
    connection = apsw.Connection(path)
    tables = connection.execute(
        "SELECT name FROM pragma_table_list WHERE name LIKE 'memory_%' AND type IN ('table', 'virtual')"
    ).fetchall()
    for (table,) in tables:
        connection.execute(f"DROP TABLE {table}")
    connection.close()


OLD_FILES = sorted((Path(__file__).parents[1] / "golden").glob("1.*.mv"))


@pytest.mark.parametrize("old", OLD_FILES, ids=lambda old: old.name)
def test_an_older_version_is_brought_up_to_date_where_it_may_be_written(path, old):
    shutil.copy(old, path)
    with Engine(path, read_only=True) as memory:
        before = ([user_fields(frame) for frame in memory.frames()], memory.generation, memory.find("a", 3))
    assert Path(path).read_bytes() == old.read_bytes()

    with Engine(path) as memory:
        assert ([user_fields(frame) for frame in memory.frames()], memory.generation, memory.find("a", 3)) == before
        memory.put("one more")
    with Engine(path, read_only=True) as memory:
        assert memory.generation == before[1] + 1
        with memory._reading() as connection:
            times = connection.execute("SELECT generation, made_ns FROM memory_generations ORDER BY 1").fetchall()
    assert [generation for generation, _ in times] == list(range(before[1] + 2))
    assert times == sorted(times, key=lambda row: row[1])


def test_a_newer_version_is_refused(path):
    Engine(path).close()
    alter(path, "UPDATE memory_state SET version = 99")

    with pytest.raises(UnsupportedVersionError) as caught:
        Engine(path)
    assert (caught.value.found, caught.value.supported) == (99, 2)


def test_a_file_without_a_memory_gets_one_unless_read_only(path):
    with Engine(path):
        pass
    drop_memory(path)

    with pytest.raises(NotAStoreError):
        Engine(path, read_only=True)
    with Engine(path) as memory:
        assert len(memory) == 0


def test_a_full_disk_is_said_and_costs_only_the_call(memory):
    memory.put("before")
    pages = memory._connection._handles[os.getpid()].connection
    pages.execute(f"PRAGMA max_page_count = {pages.execute('PRAGMA page_count').get + 4}")

    with pytest.raises(StorageError, match="full"):
        memory.put("x" * 100_000)

    assert [frame.content for frame in memory.frames()] == ["before"]
    pages.execute("PRAGMA max_page_count = 1000000")
    assert memory.put("after") == 2


def test_a_writer_that_does_not_end_locks_others_out(memory, path):
    memory._connection._handles[os.getpid()].connection.set_busy_timeout(20)
    other = apsw.Connection(path)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(LockedError):
        memory.put("x")
    other.execute("ROLLBACK")
    memory.put("x")
    other.close()


def test_damage_is_a_typed_error(path):
    with Engine(path) as memory:
        memory.put_many(["text " * 500] * 200)
    with open(path, "r+b") as file:
        for offset in range(4096, os.path.getsize(path), 4096):
            file.seek(offset)
            file.write(b"\xa5" * 100)

    with pytest.raises(DamagedError), Engine(path) as memory:
        list(memory.frames())


def test_use_after_close_is_refused_and_closing_twice_is_fine(path):
    memory = Engine(path)
    memory.close()
    memory.close()

    for refused in (
        lambda: memory.put("x"),
        lambda: memory.find("x"),
        lambda: len(memory),
        lambda: memory.generation,
    ):
        with pytest.raises(ClosedError):
            refused()


def test_a_closed_memory_is_one_file(tmp_path):
    with Engine(str(tmp_path / "notes.mv")) as memory:
        memory.put("x")

    assert os.listdir(tmp_path) == ["notes.mv"]


# -- crashes, threads, forks ------------------------------------------------------------------------

WRITER = """
import sys
from replaykit.memory.engine import Engine
memory = Engine(sys.argv[1])
number = 0
while True:
    frame_id = memory.put(f"note {number}")
    if number % 7 == 3:
        memory.update(frame_id, f"note {number} updated")
    print(frame_id, number, flush=True)
    number += 1
"""


@pytest.mark.parametrize("acknowledged", [1, 50, 400])
def test_a_killed_writer_loses_nothing_that_was_acknowledged(path, acknowledged):
    child = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
    lines = [child.stdout.readline() for _ in range(acknowledged)]
    child.send_signal(signal.SIGKILL)
    child.wait()
    lines += [line for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    child.stdout.close()

    with Engine(path) as memory:
        for line in lines:
            frame_id, number = map(int, line.split())
            updated = " updated" if number % 7 == 3 else ""
            assert f"note {number}{updated}" == memory.get(frame_id).content
        assert_consistent(memory)
        assert memory.put("after") == len(memory)


def assert_consistent(memory):
    """The sums that are stored are those of the frames."""
    snapshot, digest = memory.snapshot(with_ids=True)
    assert len(memory) == len(snapshot.frame_ids)
    with Engine(":memory:") as copy:
        for frame in memory.frames():
            assert frame.frame_id == copy.put(frame.content)
        assert (digest, snapshot.lex_index_hash) == (
            state_hash(copy),
            copy.snapshot(with_ids=False)[0].lex_index_hash,
        )
        found = [(hit.frame_id, hit.score) for hit in memory.find("note updated", k=10_000)]
        assert found == [(hit.frame_id, hit.score) for hit in copy.find("note updated", k=10_000)]


@pytest.mark.parametrize("where", ["file", ":memory:"])
def test_threads_write_and_read_at_once(where, path):
    failures = []
    barrier = threading.Barrier(6)

    def work(memory, number):
        try:
            barrier.wait()
            for step in range(25):
                frame_id = memory.put(f"note {number} {step}")
                assert f"note {number} {step}" == memory.get(frame_id).content
                memory.find("note", k=3)
                memory.update(frame_id, "note updated")
        except BaseException as error:
            failures.append(error)

    with Engine(path if where == "file" else where) as memory:
        threads = [threading.Thread(target=work, args=(memory, number)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []
        assert (len(memory), memory.generation) == (150, 300)
        assert_consistent(memory)


def in_forked_child(work):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()

    def run():
        try:
            queue.put(work())
        except BaseException as error:
            queue.put(repr(error))

    child = context.Process(target=run)
    child.start()
    result = queue.get()
    child.join()
    assert child.exitcode == 0
    return result


def test_a_forked_child_goes_on_with_the_same_file(memory):
    memory.put("parent")

    assert in_forked_child(lambda: (memory.put("child"), memory.get(1).frame_id)) == (2, 1)
    assert [frame.content for frame in memory.frames()] == ["parent", "child"]
    assert memory.put("parent again") == 3


def test_a_child_may_close_and_the_parent_goes_on(memory):
    memory.put("parent")
    assert in_forked_child(memory.close) is None

    assert memory.put("still open") == 2


def test_what_a_child_writes_after_the_parent_closed_is_kept(path):
    """With the parent's connection it would write to a log that is deleted."""
    context = multiprocessing.get_context("fork")
    closed = context.Event()
    memory = Engine(path)
    memory.put("parent")

    child = context.Process(target=lambda: (closed.wait(10), memory.put("child")))
    child.start()
    memory.close()
    closed.set()
    child.join()

    assert child.exitcode == 0
    with Engine(path) as memory:
        assert [frame.content for frame in memory.frames()] == ["parent", "child"]


def test_a_forked_child_has_a_copy_of_a_memory_in_ram():
    with Engine(":memory:") as memory:
        memory.put("parent")

        assert in_forked_child(lambda: (memory.put("child"), len(memory))) == (2, 2)
        assert len(memory) == 1


def test_a_fork_while_another_thread_holds_the_lock_does_not_hang(memory):
    memory.put("parent")
    inside, go_on = threading.Event(), threading.Event()

    def items():
        yield "first"
        inside.set()
        go_on.wait(10)

    thread = threading.Thread(target=lambda: memory.put_many(items()))
    thread.start()
    inside.wait(10)
    try:
        assert in_forked_child(lambda: memory.get(1).content) == "parent"
    finally:
        go_on.set()
        thread.join()
    assert len(memory) == 2


FORKS_AND_EXITS = """
import os, sys
from replaykit.memory.engine import Engine
memory = Engine(sys.argv[1])
memory.put("before")
if os.fork() == 0:
    # A child that ends like any program, with its modules torn down.
    if sys.argv[2] == "use":
        memory.put("child")
    del memory
    sys.exit(0)
assert os.wait()[1] == 0
assert os.path.exists(sys.argv[1] + "-wal")
memory.put("after")
memory.close()
"""


@pytest.mark.parametrize("used", ["use", "ignore"])
def test_a_child_that_exits_does_not_close_what_the_parent_opened(path, used):
    subprocess.run([sys.executable, "-c", FORKS_AND_EXITS, path, used], check=True, timeout=60)

    with Engine(path) as memory:
        expected = ["before", "child", "after"] if used == "use" else ["before", "after"]
        assert expected == [frame.content for frame in memory.frames()]


def test_a_child_reopens_the_file_from_another_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Engine("notes.mv") as memory:
        memory.put("x")

        def work():
            os.chdir("/")
            return memory.get(1).content

        assert in_forked_child(work) == "x"
