"""What can be played, and what is said of a recording that cannot."""

from __future__ import annotations

import contextlib
import gc
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import pytest

import replaykit
from replaykit import ReplaySession
from replaykit.errors import NoMatchError, PlaybackError, RedactionError, ReplaykitError, UnsupportedVersionError
from replaykit.format.segment import HEAD, SegmentWriter
from replaykit.format.strict import encode_body
from replaykit.storage.file_store import FileStore
from replaykit.testing.contracts import make_part


@replaykit.records("find")
def search(query: str, k: int = 1) -> list[Any]:
    return [{"text": query, "at": (number, query)} for number in range(k)]


@replaykit.records("tool", ignore="nonce")
def sign(text: str, nonce: int) -> str:
    return f"{text} {nonce}"


@replaykit.records("tool")
def step(query: str) -> int:
    return len(search(query))


def record(*queries: str, **options: Any) -> ReplaySession:
    with replaykit.session(store="runs.rpk", **options) as session:
        for query in queries:
            search(query)
    assert session.result is not None
    return session.result


def test_actions_in_memory_play_like_those_of_a_store() -> None:
    """A session that was put together by hand, or cut short."""
    session = record("a", "b", "c")
    held = attrs.evolve(session, session_id=uuid4(), actions=tuple(session.actions)[:2])

    with replaykit.play(held) as player:
        assert search("b") == [{"text": "b", "at": (0, "b")}]
        assert [action.sequence for action in player.unused] == [0]
        with pytest.raises(NoMatchError, match=r"nearest: action 0 search\(query='a', k=1\)"):
            search("c")


def test_an_answer_is_the_callers_own() -> None:
    """What one caller does to it, the next does not see."""
    record("a")

    with replaykit.play("runs.rpk", on_repeat="last"):
        search("a")[0]["text"] = "changed"
        assert search("a")[0]["text"] == "a"


def test_a_recording_stays_playable_when_its_file_is_gone() -> None:
    """A play holds the file open."""
    record("a")

    with replaykit.play("runs.rpk"):
        Path("runs.rpk").unlink()
        assert len(search("a")) == 1


def test_large_arguments_match_though_they_stand_apart() -> None:
    text = "x" * 40_000
    record(text, text + "y")

    with replaykit.play("runs.rpk") as player:
        assert len(search(text + "y")) == len(search(text)) == 1
        assert player.all_played


def test_one_function_may_ignore_what_another_does_not() -> None:
    with replaykit.session(store="runs.rpk"):
        sign("a", 1)
        search("a")
        sign("a", 2)

    with replaykit.play("runs.rpk", ignore="k"):
        assert [sign("a", 8), sign("a", 9)] == ["a 1", "a 2"]
        assert len(search("a", k=3)) == 1


def test_children_of_answered_calls_are_used_and_of_live_ones_answer() -> None:
    with replaykit.session(store="runs.rpk", adopt=True) as session:
        step("a")
        session.checkpoint()
        step("b")

    with replaykit.play("runs.rpk", live="step") as player:
        assert step("b") == 1
        assert [action.arguments["query"] for action in player.unused] == ["a"]
    with replaykit.play("runs.rpk") as player:
        step("b")
        assert [(action.name, action.arguments["query"]) for action in player.unused] == [
            ("step", "a"),
            ("search", "a"),
        ]


def test_a_recording_of_a_newer_release_says_so() -> None:
    """Its format, and its rules of redaction."""
    session = record("a")
    with pytest.raises(RedactionError, match=r"redacted by secrets/99.*Upgrade"):
        replaykit.play(attrs.evolve(session, redaction="secrets/99"))

    writer = SegmentWriter(sync=b"syncsync", offset=0, previous=bytes(32), watermark=0)
    writer.add_magic()
    head = {"format": "replaykit", "major": 2, "minor": 0, "file": bytes(16), "t": 0, "must": [], "mustw": []}
    writer.add(HEAD, encode_body(head))
    Path("newer.rpk").write_bytes(writer.take())
    with pytest.raises(UnsupportedVersionError, match="Upgrade"):
        replaykit.play("newer.rpk")


def test_a_miss_names_redactors_that_a_play_does_not_have() -> None:
    def no_names(path: tuple[Any, ...], value: Any) -> Any:
        return value.replace("Ada", "[name]")

    record("Ada", redact=("secrets", no_names))

    with replaykit.play("runs.rpk"), pytest.raises(NoMatchError, match="also redacted by .*no_names.*redact=.*ignore="):
        search("Ada")


@pytest.mark.parametrize("capture", ["hash", "preview"])
def test_without_bodies_a_play_says_so_before_the_first_call(capture: str) -> None:
    session = record("a", capture=capture)

    for recording in ("runs.rpk", session):
        with pytest.raises(PlaybackError, match=f"capture='{capture}': arguments and results were not kept"):
            replaykit.play(recording)


def test_a_renamed_argument_is_named_in_a_miss() -> None:
    record("a")

    @replaykit.records("find", name="search")
    def other(needle: str, k: int = 1) -> list[Any]:
        return []

    with replaykit.play("runs.rpk"), pytest.raises(NoMatchError, match="query is called needle now"):
        other("a")


def test_the_nearest_call_is_found_wherever_it_is() -> None:
    """Among many, and before and after what was played last."""
    record(*(f"query {number}" for number in range(300)))

    with replaykit.play("runs.rpk"):
        search("query 150")
        for number in (3, 299):
            with pytest.raises(NoMatchError) as caught:
                search(f"query {number}", k=2)
            assert caught.value.nearest[0] == f"search(query='query {number}', k=1)"


def test_after_many_misses_only_some_calls_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those around the call that was answered last; the error says so."""
    monkeypatch.setattr("replaykit.playback.player._MOST_COMPARED", 500)
    monkeypatch.setattr("replaykit.playback.player.FEW", 20)
    record(*(f"query {number}" for number in range(300)))

    with replaykit.play("runs.rpk"):
        search("query 150")
        with pytest.raises(NoMatchError):
            search("none")
        with pytest.raises(NoMatchError, match="compared: 20 of 300 such calls") as caught:
            search("query 155", k=2)
    assert caught.value.nearest[0] == "search(query='query 155', k=1)"


def test_a_play_holds_no_action_decoded() -> None:
    """Its memory grows by little more than a key for each call."""
    session = record(*(f"query {number} " + "long " * 50 for number in range(600)))
    gc.collect()
    tracemalloc.start()
    player = replaykit.play(session)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(player.unused) == 600
    # The blocks that were read last stay, as bytes: these are about 300 of the 600.
    assert size / 600 < 2_000


WRONG: list[dict[str, Any]] = [
    {"nm": 5},
    {"p": "x"},
    {"in": [1, {"a": 2}]},
    {"in": {"~t": "dict", "~v": 3}},
    {"fl": 7},
    {"fl": ["stream"], "out": 5},
    {"err": 5},
    {"err": {"~t": "error", "~v": [["list"], 3, []]}},
    {"err": {"~t": "error", "~v": ["ExceptionGroup", "m", [1, 2, 3]]}},
    {"err": {"~t": "error", "~v": ["UnicodeDecodeError", "m", [{}]]}},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_hostile_action_gives_a_typed_error(wrong: dict[str, Any]) -> None:
    """Whatever types its fields have: at set-up, or when it answers; or it answers, or is missed."""
    sound = {"i": 0, "k": "find", "nm": "search", "src": "s", "t": 1 << 60, "d": 1, "in": {"query": "a", "k": 1}}
    entry = {**sound, **wrong}
    part = attrs.evolve(make_part(uuid4(), range(1)), actions=[entry])
    with closing(FileStore("hostile.rpk")) as store:
        store.publish(part)

    with contextlib.suppress(ReplaykitError, UnicodeDecodeError), replaykit.play("hostile.rpk", match_on="kind"):
        search("a")
    with contextlib.suppress(ReplaykitError, UnicodeDecodeError), replaykit.play("hostile.rpk"):
        search("b")


def test_a_memorys_published_session_plays_by_the_path_of_its_file() -> None:
    with replaykit.open("notes.mv") as mv:
        mv.put("Paris is the capital of France.")
        with mv.session("run"):
            for query in ("Paris", "capital"):
                mv.find(query)

    with replaykit.open(":memory:") as other, replaykit.play("notes.mv") as player:
        assert [hit.frame_id for hit in other.find("Paris")] == [1]
    assert [action.action_type.query for action in player.unused] == ["capital"]
