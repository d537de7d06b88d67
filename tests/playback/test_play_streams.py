"""A play hands out the items of a stream one by one, as the real one would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

import replaykit


@dataclass
class Token:
    """An item with a class of its own, which counts how many were made."""

    text: str
    made: ClassVar[int] = 0

    def __new__(cls, *_args: Any) -> Token:
        cls.made += 1
        return super().__new__(cls)


@replaykit.records("tool")
def tokens(text: str) -> Iterator[Token]:
    for word in text.split():
        if word == "bad":
            raise ValueError(word)
        yield Token(word)


@replaykit.records("tool")
async def atokens(text: str) -> AsyncIterator[Token]:
    for word in text.split():
        if word == "bad":
            raise ValueError(word)
        yield Token(word)


@replaykit.records("tool")
def echo(first: str) -> Any:
    given = yield first
    while given is not None:
        given = yield given.upper()


def record(call: Callable[[], Any]) -> None:
    with replaykit.session(store="runs.rpk", adopt=True):
        call()


def drained(stream: Iterator[Token]) -> list[Any]:
    seen: list[Any] = []
    try:
        seen.extend(iter(lambda: next(stream), None))
    except (ValueError, StopIteration) as error:
        seen.append(type(error))
    return seen


async def adrained(stream: AsyncIterator[Token]) -> list[Any]:
    seen: list[Any] = []
    try:
        async for item in stream:
            seen.append(item)
            await asyncio.sleep(0)
    except ValueError as error:
        seen.append(type(error))
    return seen


def test_an_error_comes_after_as_many_items_as_it_did() -> None:
    record(lambda: (drained(tokens("a b bad c")), asyncio.run(adrained(atokens("d bad")))))

    with replaykit.play("runs.rpk"):
        stream = tokens("a b bad c")
        assert [Token("a"), Token("b")] == [next(stream), next(stream)]
        with pytest.raises(ValueError, match="bad"):
            next(stream)
        assert [Token("d"), ValueError] == asyncio.run(adrained(atokens("d bad")))


def test_nothing_is_taken_or_made_before_the_first_step() -> None:
    record(lambda: drained(tokens("a b")))

    with replaykit.play("runs.rpk") as player:
        stream = tokens("a b")
        assert player.play_count == 0
        next(stream)
        assert player.play_count == 1


def test_an_item_is_made_when_it_is_asked_for() -> None:
    """A consumer that leaves early pays for what it took."""
    record(lambda: drained(tokens("a b c d")))
    before = Token.made

    with replaykit.play("runs.rpk"):
        stream = tokens("a b c d")
        next(stream)
        assert before + 1 == Token.made
        stream.close()  # type: ignore[attr-defined]
    assert before + 1 == Token.made


def test_a_consumer_may_leave_early() -> None:
    record(lambda: (drained(tokens("a b c")), asyncio.run(adrained(atokens("a b c")))))

    async def first() -> Token:
        stream = atokens("a b c")
        async for item in stream:
            await stream.aclose()  # type: ignore[attr-defined]
            return item
        raise AssertionError

    with replaykit.play("runs.rpk") as player:
        for item in tokens("a b c"):
            assert item == Token("a")
            break
        assert asyncio.run(first()) == Token("a")
        assert player.all_played


def test_streams_under_gather_keep_apart() -> None:
    texts = [" ".join(f"w{number}.{at}" for at in range(number)) for number in range(8)]

    async def all_of() -> list[list[Any]]:
        return await asyncio.gather(*(adrained(atokens(text)) for text in texts))

    expected: list[Any] = []
    record(lambda: expected.extend(asyncio.run(all_of())))

    with replaykit.play("runs.rpk") as player:
        assert expected == asyncio.run(all_of())
        assert player.all_played


def test_what_a_consumer_sends_or_throws_does_no_harm() -> None:
    def talk() -> list[Any]:
        stream = echo("hi")
        return [next(stream), stream.send("a"), stream.send("b")]

    expected: list[Any] = []
    record(lambda: expected.extend(talk()))

    with replaykit.play("runs.rpk", on_repeat="last"):
        assert expected == talk()
        stream = echo("hi")
        next(stream)
        with pytest.raises(KeyError):
            stream.throw(KeyError("x"))
