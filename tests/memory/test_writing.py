"""What is written once, what a file becomes, and what is refused without a trace."""

from __future__ import annotations

import os
import signal
import sys

import blake3
import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import replaykit
from replaykit.errors import FrameNotFoundError, UsageError
from replaykit.memory import files
from replaykit.memory.engine import Engine


@pytest.fixture
def memory():
    with replaykit.open("notes.mv") as opened:
        yield opened


def written_tables(memory):
    with memory._frames._connection.reading() as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}


# -- the hash of a content ----------------------------------------------------------


@given(content=st.text(st.characters()) | st.binary())
def test_the_content_hash_is_blake3_of_the_bytes(content):
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content

    with Engine(":memory:") as engine:
        assert engine.get(engine.put(content)).content_hash == blake3.blake3(data).digest()


def test_the_hash_of_a_put_action_is_that_of_its_frame(memory):
    with memory.session("hashes"):
        frame = memory.get(memory.put("Paris"))

    assert memory.get_session("last").actions[0].input_hash == frame.content_hash


# -- once only ------------------------------------------------------------------------


FIELDS = {"title": "t", "uri": "u", "metadata": {"b": [1], "a": None}}


def test_an_equal_frame_is_not_stored_again(memory):
    first = memory.put("fox", **FIELDS)
    memory.put("fox", **FIELDS)
    generation = memory.generation

    assert memory.put("fox", **FIELDS, dedupe=True) == first
    assert memory.put("fox", title="t", uri="u", metadata={"a": None, "b": (1,)}, dedupe=True) == first
    assert (len(memory), memory.generation) == (2, generation)


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ("Fox", FIELDS),
        (b"fox", FIELDS),
        ("fox", FIELDS | {"title": None}),
        ("fox", FIELDS | {"uri": ""}),
        ("fox", FIELDS | {"metadata": {}}),
    ],
    ids=repr,
)
def test_a_frame_that_differs_in_any_field_is_stored(memory, content, fields):
    first = memory.put("fox", **FIELDS)

    assert memory.put(content, **fields, dedupe=True) > first
    assert len(memory) == 2


def test_only_live_frames_count(memory):
    """What was updated or deleted is no equal any more."""
    updated, deleted = memory.put_many(["updated", "deleted"])
    memory.update(updated, "otherwise")
    memory.delete(deleted)

    again = memory.put_many(["updated", "deleted", "otherwise"], dedupe=True)
    assert again == [3, 4, updated]


def test_put_many_keeps_the_order_and_stores_each_once(memory):
    memory.put("there")

    assert memory.put_many(["new", "there", "new", {"content": "new", "title": "t"}], dedupe=True) == [2, 1, 2, 3]
    assert memory.put_many(["new", "there"], dedupe=True) == [2, 1]
    assert (len(memory), memory.generation) == (3, 2)


def test_who_never_asks_has_no_index_for_it(memory):
    memory.put("fox")
    assert "memory_by_fields" not in written_tables(memory)

    memory.put("fox", dedupe=True)
    assert "memory_by_fields" in written_tables(memory)


def test_it_is_recorded_with_the_id_that_it_gave(memory):
    first = memory.put("fox")
    with memory.session("once"):
        memory.put("fox", dedupe=True)

    (action,) = memory.get_session("last").actions
    assert (action.output, action.affected_frames, action.arguments["dedupe"]) == (first, (first,), True)


# -- all or nothing ---------------------------------------------------------------------


class StopError(Exception):
    """What a progress callback raises here."""


def test_a_progress_that_raises_stores_nothing(memory):
    def progress(done):
        raise StopError

    with pytest.raises(StopError):
        memory.put_many(["word"] * 1000, progress=progress)

    assert (len(memory), memory.generation, len(memory.find("word"))) == (0, 0, 0)


@pytest.mark.parametrize("interrupted", ["put", "put_many", "find"])
def test_a_write_in_the_middle_of_another_call_is_refused_and_recorded(memory, interrupted):
    """A signal handler comes inside of any call, not only of a put_many: the message holds for each."""
    calls = {
        "put": lambda: memory.put("b"),
        "put_many": lambda: memory.put_many(["b"]),
        "find": lambda: memory.find("a"),
    }
    refused = []

    def handler(*_):
        with pytest.raises(UsageError, match="in the middle of another call of this memory") as caught:
            memory.put("from the handler")
        refused.append(caught.value)

    def traced(cursor, statement, bindings):
        if not refused and cursor.connection.in_transaction:
            signal.raise_signal(signal.SIGUSR1)
        return True

    memory.put("a")
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with memory.session("interrupted") as session:
            with memory._frames._connection.lending() as database:
                database.exec_trace = traced
            calls[interrupted]()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert len(refused) == 1
    assert len(memory) == (1 if interrupted == "find" else 2)
    outer, inner = session.result.actions
    assert (outer.error, inner.error.message, inner.parent) == (None, str(refused[0]), outer.sequence)


def test_progress_counts_up_to_all(memory):
    seen = []
    memory.put_many(["word"] * 1000, progress=seen.append)

    assert seen == sorted(seen)
    assert seen[-1] == 1000


@pytest.mark.parametrize("dedupe", [False, True])
def test_an_item_with_an_unknown_key_stores_nothing(memory, dedupe):
    with pytest.raises(UsageError, match="item 1: unknown key 'titel'"):
        memory.put_many(["fine", {"content": "x", "titel": "y"}], dedupe=dedupe)

    assert (len(memory), memory.generation) == (0, 0)
    assert "memory_by_fields" not in written_tables(memory)


# -- files ------------------------------------------------------------------------------


def test_a_text_file_becomes_a_text_with_its_name_and_address(memory, tmp_path):
    path = tmp_path / "a b.md"
    path.write_text("# Ünïcode", encoding="utf-8")

    frame = memory.get(memory.put_file(path, metadata={"kind": "note"}))
    assert (frame.content, frame.title, frame.uri) == ("# Ünïcode", "a b.md", path.as_uri())
    assert frame.metadata == {"kind": "note"}
    assert [frame.frame_id] == [hit.frame_id for hit in memory.find("ünïcode")]


def test_a_relative_path_gives_an_absolute_address(memory, tmp_path):
    (tmp_path / "x.txt").write_text("x")

    frame = memory.get(memory.put_file("x.txt", title="", uri="urn:x"))
    assert (frame.title, frame.uri) == ("", "urn:x")
    assert memory.get(memory.put_file("x.txt")).uri == (tmp_path / "x.txt").as_uri()


@pytest.mark.parametrize(
    ("data", "encoding", "content"),
    [
        (b"", "utf-8", ""),
        (b"a\r\nb", "utf-8", "a\r\nb"),
        (b"\xef\xbb\xbfmarked", "utf-8", "marked"),
        (b"\xff\xfeno text", "utf-8", b"\xff\xfeno text"),
        (b"nul\x00inside", "utf-8", b"nul\x00inside"),
        (b"\xed\xa0\x80", "utf-8", b"\xed\xa0\x80"),
        (b"caf\xe9", "latin-1", "café"),
        (b"h\x00i\x00", "utf-16-le", "hi"),
        (b"text", None, b"text"),
    ],
)
def test_text_is_what_decodes_and_has_no_nul(memory, tmp_path, data, encoding, content):
    (tmp_path / "file").write_bytes(data)

    assert memory.get(memory.put_file("file", encoding=encoding)).content == content


def test_a_file_name_that_is_no_text_is_kept(memory):
    path = b"caf\xe9.txt"
    with open(path, "wb") as file:
        file.write(b"x")

    frame = memory.get(memory.put_file(os.fsdecode(path)))
    assert os.fsencode(frame.title) == path
    assert frame.uri.endswith("/caf%E9.txt")


def test_an_equal_file_is_stored_once_on_request(memory, tmp_path):
    (tmp_path / "x.txt").write_text("x")

    assert memory.put_file("x.txt") == memory.put_file("x.txt", dedupe=True) == 1


@pytest.fixture
def refused(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(files.MAX_FILE_BYTES + 1)
    return ["folder", "pipe", "dangling", "huge", "nowhere", "", "a\x00b", "/dev/zero", "/dev/null"]


def test_what_is_no_readable_file_is_refused_at_once_and_stores_nothing(memory, refused):
    """A pipe without a writer and an endless device are not waited for."""
    for path in refused:
        with pytest.raises(UsageError, match="Cannot read .*Nothing was stored"):
            memory.put_file(path)
    assert (len(memory), memory.generation) == (0, 0)


@pytest.mark.parametrize("arguments", [{"path": 3}, {"path": None}, {"path": "x", "encoding": 3}])
def test_arguments_of_another_type_are_refused(memory, arguments):
    with pytest.raises(UsageError, match="must be"):
        memory.put_file(**arguments)


@pytest.mark.parametrize("encoding", ["klingon", "hex", "a\x00b"])
def test_an_unknown_encoding_is_refused(memory, tmp_path, encoding):
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(UsageError, match="unknown encoding"):
        memory.put_file("x.txt", encoding=encoding)


def test_no_descriptor_is_left_open(memory, refused):
    before = set(os.listdir("/dev/fd"))
    for path in refused:
        with pytest.raises(UsageError):
            memory.put_file(path)

    assert set(os.listdir("/dev/fd")) == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_a_file_that_says_it_is_empty_is_read(memory):
    assert memory.get(memory.put_file("/proc/self/status")).content.startswith("Name:")


def test_a_file_is_recorded_as_the_put_of_its_content(memory, tmp_path):
    """So the recording plays, and can be run again, where the file is no more."""
    (tmp_path / "x.txt").write_text("from a file")
    with memory.session("files"):
        frame_id = memory.put_file("x.txt")
    os.remove("x.txt")

    (action,) = memory.get_session("last").actions
    assert (action.kind, action.name, action.affected_frames) == ("put", "put", (frame_id,))
    assert (action.arguments["content"], action.arguments["title"]) == ("from a file", "x.txt")


def test_a_file_that_is_refused_is_a_failed_action(memory):
    with memory.session("files"), pytest.raises(UsageError):
        memory.put_file("nowhere")

    (action,) = memory.get_session("last").actions
    assert (action.kind, action.name, action.arguments["path"]) == ("put", "put_file", "nowhere")
    assert action.error.type == "replaykit.errors.UsageError"
    assert action.input_hash == blake3.blake3(cbor2.dumps(action.arguments)).digest()


def test_a_played_session_answers_for_files_too(memory, tmp_path):
    (tmp_path / "x.txt").write_text("from a file")
    with memory.session("files"):
        memory.put_file("x.txt")
        with pytest.raises(UsageError):
            memory.put_file("nowhere")

    with replaykit.open(":memory:") as other, replaykit.play("notes.mv", session="last"):
        assert other.put_file("x.txt") == 1
        with pytest.raises(UsageError, match="Cannot read nowhere"):
            other.put_file("nowhere")
        with pytest.raises(FrameNotFoundError):
            other._frames.get(1)
