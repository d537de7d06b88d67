"""A generator keeps its session, and its consumer stays out of it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from concurrency.calls import count_to, look, look_async

import replaykit


def test_a_generator_keeps_the_session_of_its_first_step(recorder: Any, tmp_path: Path) -> None:
    with replaykit.Recorder(tmp_path / "other.rpk") as other:
        with recorder.session(adopt=False) as first:
            numbers = count_to(3)
            next(numbers)
            with other.session() as second:
                assert list(numbers) == [1, 2]
        assert [action.output for action in first.result.actions] == [[0, 1, 2]]
        assert len(second.result.actions) == 0


def test_the_scope_of_a_generator_never_leaks_into_its_consumer(recorder: Any) -> None:
    """What the consumer calls between two items is no child of the generator; what the generator calls is."""

    @replaykit.records("tool")
    def stream() -> Iterator[str]:
        for word in ("a", "b"):
            look(f"inside {word}")
            yield word

    with recorder.session() as session:
        for word in stream():
            look(f"consumer {word}")
    actions = {next(iter(action.arguments.values()), "stream"): action for action in session.result.actions}
    assert actions["inside a"].parent == actions["inside b"].parent == actions["stream"].sequence
    assert actions["consumer a"].parent is None and actions["consumer b"].parent is None


def test_the_scope_of_an_async_generator_never_leaks_into_its_consumer(recorder: Any) -> None:
    @replaykit.records("tool")
    async def stream() -> AsyncIterator[str]:
        for word in ("a", "b"):
            await look_async(f"inside {word}")
            yield word

    async def main() -> Any:
        async with recorder.session() as session:
            async for word in stream():
                await look_async(f"consumer {word}")
        return session.result

    actions = {next(iter(action.arguments.values()), "stream"): action for action in asyncio.run(main()).actions}
    assert actions["inside b"].parent == actions["stream"].sequence
    assert actions["consumer b"].parent is None


def test_a_session_around_a_generator_is_closed_from_anywhere(recorder: Any) -> None:
    """A decorated generator that the collector closes, in another context, ends its session and hurts no other."""

    @recorder.session("in a generator")
    def words() -> Iterator[str]:
        look("first")
        yield "a"
        yield "b"

    items = words()
    next(items)
    with recorder.session("around") as around:
        contextvars.copy_context().run(items.close)
        look("around")
    assert [action.arguments["query"] for action in around.result.actions] == ["around"]
    assert recorder.get_session("in a generator").state == "sealed"


def test_carry_takes_what_a_function_hands_out_along(recorder: Any) -> None:
    """Generators of both kinds, and a coroutine that a plain function returns, run in the session to their end."""

    @replaykit.records("tool")
    async def words_async() -> AsyncIterator[str]:
        yield (await look_async("inside"))[0]

    async def all_of(stream: AsyncIterator[str]) -> list[str]:
        return [word async for word in stream]

    with recorder.session(adopt=False) as session:
        carried = [session.carry(each) for each in (count_to, words_async, lambda: look_async("handed out"))]

        def far() -> list[Any]:
            numbers, words, plain = carried
            return [list(numbers(2)), asyncio.run(all_of(words())), asyncio.run(plain())]

        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(far).result() == [[0, 1], ["INSIDE"], ["HANDED OUT"]]
    actions = session.result.actions
    assert [(action.sequence, action.name, action.parent) for action in actions] == [
        (0, "count_to", None), (1, "words_async", None), (2, "look_async", 1), (3, "look_async", None),
    ]  # fmt: skip
    assert recorder.stats()["unscoped"] == 0
