"""
What memvid's replay module does, row by row, and where this library decides otherwise.

Rows are those of memvid's recorder: values, input and output of an action,
operations, sequence numbers and checkpoints.  A test whose docstring says
"differs" shows a rule of ours that memvid's does not keep.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import blake3
import pytest

import replaykit
from replaykit.errors import (
    ClosedError,
    NoActiveSessionError,
    SessionActiveError,
    SessionNotFoundError,
    UsageError,
)
from replaykit.model import KINDS, MAX_BODY_BYTES, ZERO_HASH

NS = 1_000_000_000


@pytest.fixture(params=[":memory:", "notes.mv"])
def mv(request: pytest.FixtureRequest) -> Iterator[replaykit.Memory]:
    """A memory in RAM and one in a file: every row holds for both."""
    with replaykit.open(request.param) as memory:
        yield memory
        if memory.is_recording:
            memory.end_session()


@pytest.fixture
def ram() -> Iterator[replaykit.Memory]:
    """A memory in RAM, where the kind of store does not matter."""
    with replaykit.open(":memory:") as memory:
        yield memory


def recorded(memory: replaykit.Memory, kind: str, **how: Any) -> replaykit.ReplayAction:
    """Record one call by hand and read it back."""
    with memory.session() as session:
        session.record(kind, **how)
    assert session.result is not None
    return session.result.actions[0]


def put_of(memory: replaykit.Memory, content: Any) -> replaykit.ReplayAction:
    return recorded(memory, "put", arguments={"content": content}, output=0)


def names(session: replaykit.ReplaySession) -> list[str]:
    return [action.action_type.name for action in session.actions]


def b3(data: bytes) -> bytes:
    return blake3.blake3(data).digest()


# -- values -------------------------------------------------------------------


def test_a_session_id_is_a_random_uuid_in_lower_case_with_hyphens(mv: replaykit.Memory) -> None:
    """Version 4; two sessions differ."""
    first = mv.start_session()
    mv.end_session()
    second = mv.start_session()

    assert first.version == 4
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(first))
    assert first != second


def test_times_are_whole_seconds_of_the_wall_clock(mv: replaykit.Memory) -> None:
    """Sessions, actions and checkpoints all show seconds since 1970; nanoseconds are kept beside them."""
    before = int(time.time())
    with mv.session() as session:
        mv.put("x")
        session.checkpoint()
    after = int(time.time())

    result = session.result
    shown = [
        result.created_secs,
        result.ended_secs,
        result.actions[0].timestamp_secs,
        result.checkpoints[0].timestamp_secs,
    ]
    assert all(type(seconds) is int and before <= seconds <= after for seconds in shown)
    assert result.actions[0].timestamp_ns // NS == result.actions[0].timestamp_secs


def test_the_versions_are_one(mv: replaykit.Memory) -> None:
    """A session states the version of its own form."""
    with mv.session() as session:
        pass

    assert session.result.version == 1


def test_the_eight_action_types_have_their_names_and_fields() -> None:
    """memvid's vocabulary; a tool call's name is ``tool``, since ``name`` is the type's own."""
    shown = {cls.name: [field.name for field in attrs.fields(cls)] for cls in KINDS.values()}

    assert shown == {
        "PUT": ["frame_id"],
        "PUT_MANY": ["frame_ids", "count"],
        "FIND": ["query", "mode", "result_count"],
        "ASK": ["query", "provider", "model"],
        "CHECKPOINT": ["checkpoint_id"],
        "UPDATE": ["frame_id"],
        "DELETE": ["frame_id"],
        "TOOL_CALL": ["tool", "args_hash"],
    }
    assert list(KINDS) == ["put", "put_many", "find", "ask", "checkpoint", "update", "delete", "tool"]


def test_a_bare_action_is_empty(mv: replaykit.Memory) -> None:
    """Hashes zero, previews empty, no frames: a checkpoint's action says nothing more (differs: its true duration)."""
    with mv.session() as session:
        session.checkpoint()

    action = session.result.actions[0]
    assert (action.input_hash, action.output_hash) == (ZERO_HASH, ZERO_HASH)
    assert (action.input_preview, action.output_preview, action.affected_frames) == ("", "", ())
    assert action.duration_ms == action.duration_ns // 1_000_000


def test_a_snapshot_tells_what_the_memory_holds(mv: replaykit.Memory) -> None:
    """Count, ids, index hash, write number and generation; differs: deleted frames are not among the ids."""
    with mv.session() as session:
        ids = [mv.put(text) for text in ("one", "two", "three")]
        mv.delete(ids[1])
        session.checkpoint()

    snapshot = session.result.checkpoints[0].snapshot
    assert snapshot.frame_count == 2
    assert list(snapshot.frame_ids) == [ids[0], ids[2]]
    assert snapshot.generation == snapshot.wal_sequence == 4
    assert isinstance(snapshot.lex_index_hash, bytes)
    assert snapshot.vec_index_hash is None


# -- input and output of an action ----------------------------------------------


def test_no_data_has_the_zero_hash_and_no_preview(ram: replaykit.Memory) -> None:
    """No output and empty input: 32 zero bytes, not the hash of nothing."""
    action = recorded(ram, "put", arguments={"content": ""})

    assert (action.input_hash, action.input_preview) == (bytes(32), "")
    assert (action.output_hash, action.output_preview) == (bytes(32), "")


def test_empty_output_has_the_zero_hash(ram: replaykit.Memory) -> None:
    """Empty text and empty bytes are no data."""
    for nothing in ("", b""):
        action = recorded(ram, "tool", name="f", output=nothing)
        assert (action.output_hash, action.output_preview) == (ZERO_HASH, "")


@pytest.mark.parametrize("content", ["x", " ", "Paris", "é漢😀", b"\x00\xff raw"])
def test_data_is_hashed_whole(ram: replaykit.Memory, content: str | bytes) -> None:
    """BLAKE3 of all the bytes, the same rule for input and output."""
    data = content if isinstance(content, bytes) else content.encode()

    assert put_of(ram, content).input_hash == b3(data)
    assert recorded(ram, "tool", name="f", output=content).output_hash == b3(data)


def test_one_space_is_data(ram: replaykit.Memory) -> None:
    """Its preview is one space and its hash that of it; nothing is stripped."""
    action = put_of(ram, " ")

    assert (action.input_preview, action.input_hash) == (" ", b3(b" "))


def test_exactly_ten_mebibytes_are_kept_whole(ram: replaykit.Memory) -> None:
    """10,485,760 bytes are within the limit."""
    content = "a" * MAX_BODY_BYTES
    action = put_of(ram, content)

    assert MAX_BODY_BYTES == 10_485_760
    assert action.input_hash == b3(content.encode())
    assert action.arguments["content"] == content
    assert action.flags == frozenset()


def test_one_byte_more_is_cut_and_its_hash_stays_true(ram: replaykit.Memory) -> None:
    """Differs: memvid puts 32 bytes of FF and an error text in place of hash and preview."""
    content = "a" * (MAX_BODY_BYTES + 1)
    action = put_of(ram, content)

    assert action.input_hash == b3(content.encode())
    assert action.input_preview == "a" * 512
    assert content.startswith(action.arguments["content"])
    assert len(action.arguments["content"]) < len(content)
    assert {"cut", "unreplayable"} <= action.flags


def test_output_has_the_same_limit(ram: replaykit.Memory) -> None:
    """One byte over the limit is cut there too, with a true hash."""
    whole = recorded(ram, "tool", name="f", output=b"b" * MAX_BODY_BYTES)
    over = recorded(ram, "tool", name="f", output=b"b" * (MAX_BODY_BYTES + 1))

    assert whole.output == b"b" * MAX_BODY_BYTES
    assert over.output_hash == b3(b"b" * (MAX_BODY_BYTES + 1))
    assert (over.output_preview, "cut" in over.flags, "cut" in whole.flags) == ("b" * 512, True, False)


def test_large_input_prints_nothing(ram: replaykit.Memory, capfd: pytest.CaptureFixture[str]) -> None:
    """Differs: memvid writes a warning to stderr above 1 MiB."""
    put_of(ram, "a" * 2_000_000)

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "preview"),
    [
        ("z" * 2000, "z" * 512),
        ("x" * 511 + "é and more", "x" * 511 + "\ufffd"),
        ("y" * 510 + "漢 and more", "y" * 510 + "\ufffd"),
        ("é" * 300, "é" * 256),
        (
            "a\0b\ac\x1b[31md\x7fe\x85f\u2028g\r\nh\ti",
            "abc[31mdef\u2028g\nh\ti",
        ),
        (" ", " "),
        ("zero\u200bwidth", "zero\u200bwidth"),
    ],
    ids=["long", "two bytes across 512", "three bytes across 512", "wide", "controls", "space", "zero width"],
)
def test_previews_follow_the_table(ram: replaykit.Memory, text: str, preview: str) -> None:
    """512 bytes, then U+FFFD for a broken sequence, then no control characters, then 512 characters."""
    assert put_of(ram, text).input_preview == preview
    assert recorded(ram, "tool", name="f", output=text).output_preview == preview


def test_an_api_key_is_not_kept(ram: replaykit.Memory) -> None:
    """Differs: memvid keeps secrets in clear, in previews and in queries."""
    key = "sk-" + "a1B2c3D4" * 6
    action = recorded(ram, "find", arguments={"query": f"who uses {key}?"}, output=[])

    assert key not in repr((action.action_type.query, action.input_preview, dict(action.arguments)))
    assert "who uses " in action.action_type.query


def test_the_query_is_stored_whole(ram: replaykit.Memory) -> None:
    """Beside its 512-character preview, in FIND and in ASK, neither cut nor cleaned."""
    query = ("line\nfeed \x01 " * 2000)[:20_000]
    for kind in ("find", "ask"):
        action = recorded(ram, kind, arguments={"query": query}, output=[])
        assert action.action_type.query == query
        assert len(action.input_preview) <= 512
        assert action.input_hash == b3(query.encode())


# -- operations: start and end ----------------------------------------------------


def test_start_gives_the_id_of_an_active_session(mv: replaykit.Memory) -> None:
    """New id, the name as given, no end yet."""
    session_id = mv.start_session("debug")

    assert (mv.active_session_id, mv.is_recording) == (session_id, True)
    assert mv.get_session(session_id).name == "debug"
    assert mv.get_session(session_id).ended_secs is None


def test_a_second_start_is_an_error_and_changes_nothing(mv: replaykit.Memory) -> None:
    """memvid's sentence; the active session goes on untouched."""
    first = mv.start_session("first")
    mv.put("x")

    with pytest.raises(SessionActiveError) as caught:
        mv.start_session("second")

    assert str(caught.value) == "A session is already active. End it before starting a new one."
    mv.put("y")
    ended = mv.end_session()
    assert (ended.session_id, ended.name, names(ended)) == (first, "first", ["PUT", "PUT"])


@pytest.mark.parametrize("name", [None, "", "n" * 255, "été 漢字 🐘", "../../etc/passwd", "same"])
def test_any_text_is_a_name(mv: replaykit.Memory, name: str | None) -> None:
    """None, empty, a path, any script: kept as it is, and it need not be unique."""
    for _ in range(2):
        mv.start_session(name)
        assert mv.end_session().name == name

    assert [item.name for item in mv.list_sessions()] == [name, name]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("nul\0 and\nline feed", "nul\ufffd and line feed"),
        ("\x1b[31mred \x9b2J", "\ufffd[31mred \ufffd2J"),
        ("pay \u202egnp.exe\u2066", "pay \ufffdgnp.exe\ufffd"),
        ("ad\u200bmin\ufeff", "ad\ufffdmin\ufffd"),
        ("e\u0301te", "\u00e9te"),
        ("n" * 5000, "n" * 252 + "\u2026"),
        ("\U0001f418" * 100, "\U0001f418" * 63 + "\u2026"),
        ("lone \ud800", "lone ?"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
    ],
)
def test_a_name_hides_nothing_and_is_bounded(mv: replaykit.Memory, given: str, kept: str) -> None:
    """Differs: hidden characters are replaced and long names cut, no call fails; the name as given finds it."""
    session_id = mv.start_session(given)

    assert mv.end_session().name == kept
    assert len(kept.encode()) <= 255
    assert mv.get_session(given).session_id == session_id
    assert [item.session_id for item in mv.list_sessions(name=given)] == [session_id]


def test_end_returns_the_session_and_keeps_it(mv: replaykit.Memory) -> None:
    """The end is set, the session is listed, nothing is active."""
    session_id = mv.start_session("run")
    mv.put("x")
    ended = mv.end_session()

    assert (ended.session_id, ended.state, len(ended.actions)) == (session_id, "sealed", 1)
    assert ended.ended_secs is not None and ended.ended_secs >= ended.created_secs
    assert (mv.active_session_id, mv.is_recording) == (None, False)
    assert mv.get_session(session_id) == ended


def test_end_and_checkpoint_without_a_session_are_errors(mv: replaykit.Memory) -> None:
    """memvid's sentences; also after a session was ended."""
    for _ in range(2):
        with pytest.raises(NoActiveSessionError, match="^No active session to end$"):
            mv.end_session()
        with pytest.raises(NoActiveSessionError, match="^No active session for checkpoint$"):
            mv.create_checkpoint()
        mv.start_session()
        mv.end_session()


def test_ended_sessions_survive_without_any_save() -> None:
    """Differs: memvid's are lost unless saved, and a save drops every session that was not loaded."""
    for name in ("a", "b", "c"):
        with replaykit.open("notes.mv") as memory, memory.session(name):
            memory.put(name)

    with replaykit.load("notes.mv") as recording:
        assert [item.name for item in recording.list_sessions()] == ["a", "b", "c"]


def test_a_memory_that_is_closed_while_recording_keeps_the_session() -> None:
    """Differs: memvid loses a session that was not ended."""
    memory = replaykit.open("notes.mv")
    memory.start_session("open")
    memory.put("x")
    memory.close()

    with replaykit.load("notes.mv") as recording:
        session = recording.get_session("open")
        assert (session.state, session.ended_by, names(session)) == ("sealed", "close", ["PUT"])


# -- operations: record ------------------------------------------------------------


def test_nothing_is_recorded_without_a_session(mv: replaykit.Memory) -> None:
    """Calls just run."""
    mv.put("Paris")
    mv.find("Paris")
    mv.ask("Where?")

    assert mv.list_sessions() == []


def test_record_put(mv: replaykit.Memory) -> None:
    """Input is the content, affected frames the frame; differs: output and duration are filled in."""
    with mv.session() as session:
        frame_id = mv.put("Paris is the capital of France.")

    action = session.result.actions[0]
    assert (action.action_type, action.affected_frames) == (replaykit.Put(frame_id=frame_id), (frame_id,))
    assert action.input_hash == b3(b"Paris is the capital of France.")
    assert action.output == frame_id
    assert action.duration_ns > 0


def test_a_put_is_recorded_with_its_frame_id(mv: replaykit.Memory) -> None:
    """Differs: memvid records its write-ahead log's sequence, which is not the frame's id."""
    with mv.session() as session:
        ids = [mv.put("one"), mv.put("two"), mv.put("three")]

    assert [action.action_type.frame_id for action in session.result.actions] == ids


def test_record_find(mv: replaykit.Memory) -> None:
    """Query, mode, number of hits and their frames; differs: the result is kept too."""
    ids = [mv.put("Paris is a capital"), mv.put("Rome is a capital")]
    with mv.session() as session:
        hits = mv.find("capital", k=5)

    action = session.result.actions[0]
    assert action.action_type == replaykit.Find(query="capital", mode="auto", result_count=2)
    assert sorted(action.affected_frames) == ids
    assert action.affected_frames == tuple(hit.frame_id for hit in hits)
    assert action.arguments == {"query": "capital", "k": 5, "mode": "auto"}
    assert action.output == hits


def test_a_find_that_finds_nothing_is_recorded(mv: replaykit.Memory) -> None:
    """With a count of 0 and no frames."""
    with mv.session() as session:
        assert len(mv.find("nothing")) == 0

    action = session.result.actions[0]
    assert (action.action_type.result_count, action.affected_frames) == (0, ())


def test_repeated_frames_are_kept(ram: replaykit.Memory) -> None:
    """In the order of the hits."""
    action = recorded(ram, "find", arguments={"query": "q"}, output=[{"frame_id": 3}, {"frame_id": 1}, {"frame_id": 3}])

    assert action.affected_frames == (3, 1, 3)


def test_record_ask(mv: replaykit.Memory) -> None:
    """One ASK for one question: query, provider, model, answer, retrieved frames, duration."""
    frame_id = mv.put("Paris is the capital of France.")
    with mv.session() as session:
        answer = mv.ask("What is the capital of France?")

    action = session.result.actions[0]
    assert names(session.result) == ["ASK"]
    assert action.action_type == replaykit.Ask(
        query="What is the capital of France?", provider=answer.provider, model=answer.model
    )
    assert action.affected_frames == (frame_id,)
    assert action.output_preview == answer.text
    assert action.duration_ns > 0


def test_asks_without_an_answer_and_failed_calls_are_recorded(mv: replaykit.Memory) -> None:
    """Differs: memvid keeps an ASK only when a model answered, and nothing of a call that failed."""
    with mv.session() as session:
        mv.ask("Anything?")
        with pytest.raises(UsageError):
            mv.find("x", k=0)
        with pytest.raises(UsageError):
            mv.ask("Who?", model="nobody")

    actions = session.result.actions
    assert names(session.result) == ["ASK", "FIND", "ASK"]
    assert [action.error is not None for action in actions] == [False, True, True]
    assert actions[1].arguments["query"] == "x"


def test_the_other_calls_are_recorded_too(mv: replaykit.Memory) -> None:
    """Differs: memvid declares PUT_MANY, UPDATE, DELETE and TOOL_CALL and never records them."""
    with mv.session() as session:
        ids = mv.put_many(["one", "two"])
        mv.update(ids[0], "uno")
        mv.delete(ids[1])
        session.record("tool", name="clock", arguments={"zone": "UTC"}, output="noon")

    actions = session.result.actions
    assert [action.action_type for action in actions][:3] == [
        replaykit.PutMany(frame_ids=tuple(ids), count=2),
        replaykit.Update(frame_id=ids[0]),
        replaykit.Delete(frame_id=ids[1]),
    ]
    assert names(session.result)[3] == "TOOL_CALL"
    assert actions[3].action_type.tool == "clock"


def test_recording_by_hand_never_raises_for_its_payload(ram: replaykit.Memory) -> None:
    """Whatever the values are, the call goes on."""
    with ram.session() as session:
        assert session.record("put", arguments={"content": object()}, output=object(), duration_ns=5) == 0

    assert session.result.actions[0].duration_ns >= 5


# -- operations: list, get, delete ---------------------------------------------------


def test_sessions_are_listed_in_order_of_ending(mv: replaykit.Memory) -> None:
    """Id, name, times, counts, duration; differs: an open session is listed too, after the ended ones."""
    with mv.session("first", metadata={"n": 1}) as first:
        mv.put("x")
        first.checkpoint()
    with mv.session("second"):
        pass
    open_id = mv.start_session("open")

    listed = mv.list_sessions()
    assert [(item.name, item.action_count, item.checkpoint_count, item.state) for item in listed] == [
        ("first", 2, 1, "sealed"),
        ("second", 0, 0, "sealed"),
        ("open", 0, 0, "open"),
    ]
    assert listed[0].session_id == first.id
    assert listed[0].duration_secs >= 0
    assert (listed[2].session_id, listed[2].ended_secs) == (open_id, None)


def test_a_missing_name_is_none(mv: replaykit.Memory) -> None:
    """Differs: memvid's Python product reports it as an empty text."""
    with mv.session():
        pass

    assert mv.list_sessions()[0].name is None


def test_get_by_id(mv: replaykit.Memory) -> None:
    """A UUID or its text, in upper case too; differs: an unknown one is an error, not nothing."""
    with mv.session("x") as session:
        pass

    assert mv.get_session(session.id).name == "x"
    assert mv.get_session(str(session.id).upper()).session_id == session.id
    for unknown in (UUID(int=1), str(UUID(int=1)), "no-uuid"):
        with pytest.raises(SessionNotFoundError, match=f"^Session {unknown} not found"):
            mv.get_session(unknown)


def test_an_equal_name_means_the_newest(mv: replaykit.Memory) -> None:
    """Names need not be unique: get takes the newest, delete wants to know which."""
    sessions = []
    for _ in range(2):
        with mv.session("same") as session:
            sessions.append(session)

    assert mv.get_session("same").session_id == sessions[1].id
    with pytest.raises(UsageError, match="2 sessions match"):
        mv.delete_session("same")


def test_delete_removes_one_session(mv: replaykit.Memory) -> None:
    """At once and for good; the others stay, and so do the frames."""
    for name in ("a", "b"):
        with mv.session(name):
            mv.put(name)

    mv.delete_session(mv.list_sessions()[0].session_id)

    assert [item.name for item in mv.list_sessions()] == ["b"]
    assert len(mv) == 2


def test_delete_of_an_unknown_or_open_session_is_an_error(mv: replaykit.Memory) -> None:
    """memvid's sentence; the open session goes on."""
    open_id = mv.start_session()
    for wrong in (UUID(int=7), open_id):
        with pytest.raises(SessionNotFoundError, match=f"^Session {wrong} not found"):
            mv.delete_session(wrong)

    assert mv.end_session().session_id == open_id
    mv.delete_session(open_id)
    with pytest.raises(SessionNotFoundError):
        mv.delete_session(open_id)


def test_a_closed_memory_says_so(mv: replaykit.Memory) -> None:
    """Every operation raises, typed."""
    mv.close()
    for use in (mv.start_session, mv.list_sessions, lambda: mv.put("x"), lambda: mv.get_session("last")):
        with pytest.raises(ClosedError):
            use()


def test_a_read_only_memory_records_nothing() -> None:
    """Differs: memvid writes the file through a read-only handle and erases stored sessions."""
    with replaykit.open("notes.mv") as memory, memory.session("kept"):
        memory.put("x")

    with replaykit.open("notes.mv", read_only=True) as memory:
        with pytest.raises(replaykit.errors.ReadOnlyError):
            memory.start_session()
        assert [item.name for item in memory.list_sessions()] == ["kept"]


# -- sequence numbers and checkpoints -----------------------------------------------


def test_sequences_begin_at_zero_and_have_no_holes(mv: replaykit.Memory) -> None:
    """A checkpoint takes a number like any other action."""
    with mv.session() as session:
        mv.put("x")
        session.checkpoint()
        mv.find("x")

    assert [(action.sequence, action.action_type.name) for action in session.result.actions] == [
        (0, "PUT"),
        (1, "CHECKPOINT"),
        (2, "FIND"),
    ]


def test_at_sequence_names_the_last_action_before(mv: replaykit.Memory) -> None:
    """The CHECKPOINT action itself has the number after it."""
    with mv.session() as session:
        mv.put("x")
        mv.put("y")
        assert session.checkpoint() == 0
        mv.put("z")
        assert session.checkpoint() == 1

    result = session.result
    assert [(point.id, point.at_sequence) for point in result.checkpoints] == [(0, 1), (1, 3)]
    made = [action for action in result.actions if action.kind == "checkpoint"]
    assert [(action.sequence, action.action_type.checkpoint_id) for action in made] == [(2, 0), (4, 1)]


def test_a_checkpoint_before_any_action_is_at_zero(mv: replaykit.Memory) -> None:
    """Both numbers are 0; after one action ``at_sequence`` is 0 too, the action's number tells them apart."""
    with mv.session() as empty:
        empty.checkpoint()
    with mv.session() as one:
        mv.put("x")
        one.checkpoint()

    for session, sequence in ((empty, 0), (one, 1)):
        assert session.result.checkpoints[0].at_sequence == 0
        assert session.result.actions[-1].sequence == sequence


def test_two_checkpoints_in_a_row_have_one_state(mv: replaykit.Memory) -> None:
    """Different ids, the same state hash."""
    with mv.session() as session:
        mv.put("x")
        session.checkpoint()
        session.checkpoint()

    first, second = session.result.checkpoints
    assert (first.id, second.id) == (0, 1)
    assert first.state_hash == second.state_hash != ZERO_HASH


def test_the_state_hash_follows_the_state(mv: replaykit.Memory) -> None:
    """Differs: memvid's index hashes never change and nothing compares its state hash."""
    with mv.session() as session:
        frame_id = mv.put("x")
        session.checkpoint()
        mv.update(frame_id, "y")
        session.checkpoint()
        mv.update(frame_id, "x")
        session.checkpoint()

    first, changed, back = session.result.checkpoints
    assert first.state_hash != changed.state_hash
    assert first.state_hash == back.state_hash
    assert first.snapshot.lex_index_hash != changed.snapshot.lex_index_hash


def test_checkpoint_ids_begin_at_zero_in_each_session(mv: replaykit.Memory) -> None:
    """And they are numbers; memvid's Python product gives texts."""
    for _ in range(2):
        mv.start_session()
        assert [mv.create_checkpoint(), mv.create_checkpoint()] == [0, 1]
        mv.end_session()


def test_checkpoints_are_kept_when_the_session_ends(mv: replaykit.Memory) -> None:
    """With the session's id, and read back equal."""
    session_id = mv.start_session()
    mv.create_checkpoint()
    ended = mv.end_session()

    assert [point.session_id for point in ended.checkpoints] == [session_id]
    assert list(mv.get_session(session_id).checkpoints) == list(ended.checkpoints)


# -- edge cases ------------------------------------------------------------------------


def test_a_query_with_a_line_feed_is_kept(mv: replaykit.Memory) -> None:
    """In the type and in the preview."""
    with mv.session() as session:
        mv.find("two\nlines")

    action = session.result.actions[0]
    assert (action.action_type.query, action.input_preview) == ("two\nlines", "two\nlines")


def test_metadata_keeps_its_order(mv: replaykit.Memory) -> None:
    """Keys come back as they were given; annotations follow."""
    with mv.session(metadata={"z": 1, "a": 2}) as session:
        session.annotate(m=3)

    assert list(session.result.metadata.items()) == [("z", 1), ("a", 2), ("m", 3)]


def test_the_greatest_frame_id_is_kept(ram: replaykit.Memory) -> None:
    """2^64 - 1, by hand and in a result."""
    greatest = 2**64 - 1
    by_hand = recorded(ram, "put", arguments={"content": "x"}, affected_frames=[greatest])
    guessed = recorded(ram, "find", arguments={"query": "x"}, output=[{"frame_id": greatest}])

    assert by_hand.affected_frames == guessed.affected_frames == (greatest,)
    assert by_hand.action_type.frame_id == greatest


def test_a_find_limit_of_zero_is_refused(mv: replaykit.Memory) -> None:
    """Differs: memvid takes 0 for 1."""
    with pytest.raises(UsageError, match="k"):
        mv.find("x", k=0)


def test_a_character_across_byte_200_of_an_answer_harms_nothing(ram: replaykit.Memory) -> None:
    """memvid panics when it shows such an answer."""
    for answer in ("a" * 199 + "é and more", "漢" * 90):
        action = recorded(ram, "ask", arguments={"query": "q"}, output=answer)
        assert (action.output, action.output_preview) == (answer, answer)
        assert repr(action)


def test_a_session_equals_itself(mv: replaykit.Memory) -> None:
    """Read twice, it is the same; differs: for memvid a session with a tool call differs from itself."""
    with mv.session() as session:
        mv.put_many(["x", "y"])
        session.record("tool", name="f", arguments={"a": 1}, output={"b": 2})

    assert mv.get_session(session.id) == mv.get_session(session.id)


def test_an_empty_session_is_kept(mv: replaykit.Memory) -> None:
    """Without a name, an action or a checkpoint."""
    with mv.session() as session:
        pass

    result = mv.get_session(session.id)
    assert (len(result.actions), len(result.checkpoints), result.state) == (0, 0, "sealed")


# -- the active session on disk ------------------------------------------------------------

_DIES = """
import os, replaykit
memory = replaykit.open("notes.mv")
memory.start_session("cut short")
memory.put("x")
memory.create_checkpoint()
memory.put("y")
os._exit(9)
"""


def _die_while_recording() -> None:
    ended = subprocess.run([sys.executable, "-c", _DIES], check=False, env=_without_settings())
    assert ended.returncode == 9


def _without_settings() -> dict[str, str]:
    root = str(Path(replaykit.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


def test_an_active_session_survives_its_process() -> None:
    """Differs: memvid's Python product loses it; its command line rewrites a side file in place."""
    _die_while_recording()

    with replaykit.open("notes.mv") as memory:
        session = memory.get_session("cut short")
        assert (session.state, names(session)) == ("interrupted", ["PUT", "CHECKPOINT", "PUT"])
        assert [item.state for item in memory.list_sessions()] == ["interrupted"]
        assert not memory.is_recording


def test_an_interrupted_session_goes_on_when_asked() -> None:
    """Sequences and checkpoint ids continue; nothing is continued by itself."""
    _die_while_recording()

    with replaykit.open("notes.mv") as memory:
        session_id = memory.resume_session("cut short")
        memory.put("z")
        assert memory.create_checkpoint() == 1
        ended = memory.end_session()

        assert (ended.session_id, ended.state) == (session_id, "sealed")
        assert [action.sequence for action in ended.actions] == [0, 1, 2, 3, 4]


def test_an_interrupted_session_can_be_deleted() -> None:
    """memvid clears its side file; nothing of it is left, also beside the memory."""
    _die_while_recording()

    with replaykit.open("notes.mv") as memory:
        memory.delete_session("cut short")
        assert memory.list_sessions() == []
    assert [path.name for path in Path(".").iterdir() if path.suffix == ".live"] == []


# -- the table for those who come from memvid ------------------------------------------------


def test_each_test_of_the_table_exists() -> None:
    """docs/explanation/from-memvid.md has all 18 operations and names tests that are there."""
    root = Path(__file__).parent.parent
    page = (root / "docs" / "explanation" / "from-memvid.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)

    assert len(re.findall(r"^\| \d+ \|", page, re.MULTILINE)) == 18
    assert named
    for path, name in named:
        assert f"def {name}(" in (root / path).read_text(), f"{path}::{name}"
