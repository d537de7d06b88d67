"""A wrap without a target: its methods answer inside a play, and elsewhere say that nothing is there."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import replaykit
from replaykit.errors import NoMatchError, PlaybackError, UsageError


class Index:
    """What a collection leads to."""

    def search(self, text: str, top: int = 3) -> list[str]:
        return [text] * top


class Collection:
    """A memory that the playing side does not have."""

    index: Index

    def __init__(self) -> None:
        self.index = Index()

    def add(self, text: str, *, tags: tuple[str, ...] = ()) -> int:
        return len(text) + len(tags)

    def query(self, text: str, k: int = 2, **where: Any) -> list[str]:
        return [f"{text} {number} {sorted(where)}" for number in range(k)]

    async def ask(self, question: str, model: str = "small") -> str:
        return f"{model}: {question}"

    def stream(self, text: str) -> Iterator[str]:
        yield from text.split()

    async def astream(self, text: str) -> AsyncIterator[str]:
        for word in text.split():
            yield word

    @staticmethod
    def version(major: int = 1) -> str:
        return f"v{major}"

    def count(self) -> int:
        return 7


ROWS = {
    "add": "put",
    "query": "find",
    "ask": "ask",
    "stream": "tool",
    "astream": "tool",
    "version": "tool",
    "index.search": "find",
}


async def items_of(stream: AsyncIterator[str]) -> list[str]:
    return [item async for item in stream]


def calls(memory: Any) -> list[Any]:
    return [
        memory.add("abc", tags=("x",)),
        memory.query("a"),
        memory.query("b", k=1, author="c"),
        asyncio.run(memory.ask("why")),
        list(memory.stream("a b")),
        asyncio.run(items_of(memory.astream("c d"))),
        memory.version(2),
        memory.index.search("deep", 1),
    ]


@pytest.fixture
def recorded() -> list[Any]:
    memory = replaykit.wrap(Collection(), store="runs.rpk", operations=ROWS)
    with replaykit.recorder_of(memory).session(adopt=True):
        return calls(memory)


def test_a_class_gives_signatures_and_shapes(recorded: list[Any]) -> None:
    """Defaults, keywords, coroutines and streams are as with the real object."""
    memory = replaykit.wrap(None, like=Collection, store="other.rpk", operations=ROWS)

    with replaykit.play("runs.rpk") as player:
        assert recorded == calls(memory)
        assert player.all_played
    assert isinstance(memory, Collection)


def test_without_a_class_the_recorded_calls_say_what_arguments_are_named(recorded: list[Any]) -> None:
    memory = replaykit.wrap(None, store="other.rpk", operations=ROWS)

    with replaykit.play("runs.rpk"):
        assert recorded[1] == memory.query("a")
        assert recorded[2] == memory.query("b", 1, author="c")
        assert recorded[0] == memory.add(text="abc", tags=("x",))
        assert recorded[4] == list(memory.stream("a b"))
        assert recorded[7] == memory.index.search("deep")
        with pytest.raises(NoMatchError, match="no recorded find answers query"):
            memory.query("zzz")


def test_what_is_not_given_must_not_decide(recorded: list[Any]) -> None:
    """Two recordings that differ in it only: nobody knows which is meant."""
    memory = replaykit.wrap(Collection(), store="runs.rpk", operations=ROWS)
    with replaykit.recorder_of(memory).session():
        memory.query("a", k=1)
        memory.query("a", k=2)
    absent = replaykit.wrap(None, store="other.rpk", operations=ROWS)

    with replaykit.play("runs.rpk"):
        with pytest.raises(PlaybackError, match=r"differ only in what this call does not give \(k\)"):
            absent.query("a")
        assert len(absent.query("a", 2)) == 2


def test_outside_of_a_play_a_call_says_what_to_do() -> None:
    """Nothing is recorded of it either."""
    memory = replaykit.wrap(None, like=Collection, store="runs.rpk", operations={"query": "find", "ask": "ask"})

    with replaykit.recorder_of(memory).session() as session:
        with pytest.raises(PlaybackError, match=r"query\(\) has no target: it answers inside"):
            memory.query("a")
        with pytest.raises(PlaybackError, match=r"ask\(\) has no target"):
            asyncio.run(memory.ask("a"))
    assert session.result is not None
    assert list(session.result.actions) == []


def test_methods_beside_the_map_and_live_ones_have_nothing_to_run(recorded: list[Any]) -> None:
    memory = replaykit.wrap(None, like=Collection, store="other.rpk", operations={"query": "find"})

    with replaykit.play("runs.rpk", live="query"):
        with pytest.raises(PlaybackError, match="live= names it, and there is nothing to run"):
            memory.query("a")
        with pytest.raises(PlaybackError, match="it is not in operations="):
            memory.count()
        with pytest.raises(AttributeError, match="stands for one that is not there"):
            _ = memory.missing  # type: ignore[attr-defined]


def test_a_miss_stays_a_miss_with_a_session_to_fill(recorded: list[Any]) -> None:
    """There is nothing that could run."""
    memory = replaykit.wrap(None, like=Collection, store="other.rpk", operations=ROWS)

    with (
        replaykit.session(store="more.rpk") as session,
        replaykit.play("runs.rpk", record_missing=session),
        pytest.raises(NoMatchError),
    ):
        memory.query("never asked")


def test_usual_methods_are_taken_from_the_class() -> None:
    memory = replaykit.wrap(Collection(), store="runs.rpk")
    with replaykit.recorder_of(memory).session():
        expected = memory.query("a")

    with replaykit.play("runs.rpk"):
        assert expected == replaykit.wrap(None, like=Collection, store="other.rpk").query("a")


def test_a_stand_in_survives_pickle(recorded: list[Any]) -> None:
    memory = pickle.loads(pickle.dumps(replaykit.wrap(None, like=Collection, store="other.rpk", operations=ROWS)))

    with replaykit.play("runs.rpk"):
        assert recorded[1] == memory.query("a")
        assert recorded[7] == memory.index.search("deep", 1)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (None, {}, "wrap\\(None\\) needs the methods"),
        (None, {"like": 3}, "like= is a class, not int"),
        (Collection(), {"like": Collection}, "like= is for wrap\\(None, ...\\)"),
        (None, {"like": Collection, "operations": {"missing": "find"}}, "has no method 'missing'"),
        (None, {"like": Collection, "frames": True}, "frames= needs a target"),
    ],
)
def test_what_cannot_be_wrapped_is_a_usage_error(target: Any, options: dict[str, Any], message: str) -> None:
    wrap: Any = replaykit.wrap

    with pytest.raises(UsageError, match=message):
        wrap(target, store="runs.rpk", **options)


class Shelf:
    """A memory that is read in brackets."""

    def __getitem__(self, name: str) -> str:
        return f"{name} is here"


@pytest.mark.parametrize("given", [{}, {"like": Shelf}])
def test_an_operator_that_is_recorded_is_answered(given: dict[str, Any]) -> None:
    rows = {"__getitem__": "find"}
    shelf = replaykit.wrap(Shelf(), store="runs.rpk", operations=rows)
    with replaykit.recorder_of(shelf).session():
        assert shelf["a"] == "a is here"

    absent = replaykit.wrap(None, store="runs.rpk", operations=rows, **given)
    with replaykit.play("runs.rpk") as player:
        assert absent["a"] == "a is here"
    assert player.all_played
