"""A play that records what it does not have: `record_missing=`, the only way to play and record."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import replaykit
from replaykit.errors import NoMatchError, UsageError

RAN: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    RAN.clear()


@replaykit.records("find")
def search(query: str) -> list[str]:
    RAN.append(query)
    return [query]


@replaykit.records("tool")
async def fetch(url: str) -> str:
    RAN.append(url)
    return url.upper()


@replaykit.records("tool")
def words(text: str) -> Iterator[str]:
    RAN.append(text)
    yield from text.split()


@replaykit.records("tool")
async def awords(text: str) -> AsyncIterator[str]:
    RAN.append(text)
    for word in text.split():
        yield word


@replaykit.records("tool")
def step(query: str) -> int:
    RAN.append(f"step {query}")
    return len(search(query)) + len(search(f"{query}!"))


@replaykit.records("tool")
def fail(why: str) -> None:
    raise ValueError(why)


async def items_of(stream: AsyncIterator[str]) -> list[str]:
    return [item async for item in stream]


def record(*queries: str) -> None:
    with replaykit.session("old", store="old.rpk"):
        for query in queries:
            search(query)
    RAN.clear()


def recorded(session: replaykit.SessionHandle) -> list[tuple[str, Any]]:
    assert session.result is not None
    return [(action.name, next(iter(action.arguments.values()))) for action in session.result.actions]


def test_a_miss_runs_and_is_recorded_and_an_answer_is_neither() -> None:
    record("a")

    with replaykit.session(store="new.rpk") as session, replaykit.play("old.rpk", record_missing=session) as player:
        assert [search("a"), search("b")] == [["a"], ["b"]]

    assert RAN == ["b"]
    assert recorded(session) == [("search", "b")]
    assert (player.play_count, player.missing_count, player.all_played) == (1, 1, True)


def test_what_was_recorded_plays_the_next_time() -> None:
    record("a")
    with replaykit.session(store="new.rpk") as session, replaykit.play("old.rpk", record_missing=session):
        search("b")
    RAN.clear()

    with replaykit.play("new.rpk"):
        assert search("b") == ["b"]
    assert RAN == []


def test_all_shapes_and_errors_are_recorded() -> None:
    record("a")

    def calls() -> list[Any]:
        with pytest.raises(ValueError, match="why"):
            fail("why")
        return [asyncio.run(fetch("x")), list(words("a b")), asyncio.run(items_of(awords("c d")))]

    with replaykit.session(store="new.rpk", adopt=True) as session, replaykit.play("old.rpk", record_missing=session):
        expected = calls()
    assert expected == ["X", ["a", "b"], ["c", "d"]]
    assert recorded(session) == [("fail", "why"), ("fetch", "x"), ("words", "a b"), ("awords", "c d")]
    RAN.clear()
    with replaykit.play("new.rpk"):
        assert expected == calls()
    assert RAN == []


def test_calls_inside_a_missing_call_are_answered_or_its_children() -> None:
    record("a")

    with replaykit.session(store="new.rpk") as session, replaykit.play("old.rpk", record_missing=session) as player:
        assert step("a") == 2

    assert RAN == ["step a", "a!"]
    assert session.result is not None
    assert [(action.name, action.parent) for action in session.result.actions] == [("step", None), ("search", 0)]
    assert player.play_count == 1


def test_threads_and_tasks_record_into_it_too() -> None:
    record("a")

    async def many() -> None:
        await asyncio.gather(*(fetch(f"task {number}") for number in range(4)))

    with replaykit.session(store="new.rpk", adopt=False) as session:
        with replaykit.play("old.rpk", record_missing=session):
            threads = [threading.Thread(target=search, args=(f"thread {number}",)) for number in range(4)]
            for thread in threads:
                thread.start()
            asyncio.run(many())
            for thread in threads:
                thread.join()

    assert {f"{kind} {number}" for kind in ("thread", "task") for number in range(4)} == {
        asked for _, asked in recorded(session)
    }


def test_live_calls_are_not_recorded() -> None:
    record("a")

    with replaykit.session(store="new.rpk") as session:
        with replaykit.play("old.rpk", live="words", record_missing=session):
            assert list(words("x y")) == ["x", "y"]
    assert recorded(session) == []


def test_a_session_that_is_over_takes_nothing() -> None:
    """The call is a miss: it does not run unseen."""
    record("a")
    handle = replaykit.session(store="new.rpk")
    session = handle.__enter__()

    with replaykit.play("old.rpk", record_missing=session):
        handle.__exit__(None, None, None)
        with pytest.raises(NoMatchError):
            search("b")
    assert RAN == []


def test_only_an_open_session_can_be_given() -> None:
    record("a")
    message = "takes a session that is open and records"

    with pytest.raises(UsageError, match=message):
        replaykit.play("old.rpk", record_missing=replaykit.session(store="new.rpk"))
    with pytest.raises(UsageError, match=message):
        replaykit.play("old.rpk", record_missing="new.rpk")  # type: ignore[arg-type]
    with replaykit.play("old.rpk"), replaykit.session(store="new.rpk") as inside:
        with pytest.raises(UsageError, match=message):
            replaykit.play("old.rpk", record_missing=inside)


def test_with_recording_switched_off_a_miss_just_runs() -> None:
    record("a")

    with replaykit.session(store="new.rpk", enabled=False) as session:
        with replaykit.play("old.rpk", record_missing=session):
            assert search("b") == ["b"]
    assert RAN == ["b"]
