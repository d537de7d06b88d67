"""Tasks that are cancelled, time out or fail: each call is there, with the right error, under its own parent."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from concurrency.calls import look, look_async

import replaykit


@replaykit.records("tool")
async def forever(inside: str) -> None:
    await look_async(inside)
    await asyncio.Event().wait()


@replaykit.records("tool")
async def fails(inside: str) -> None:
    await look_async(inside)
    raise ValueError(inside)


def told(session: Any) -> list[tuple[int, str, int | None, str | None, bool]]:
    """Return sequence, name, parent, type of error and whether it was cancelled, of each action."""
    return [
        (
            each.sequence,
            each.name,
            each.parent,
            each.error and each.error.type.rpartition(".")[2],
            "cancelled" in each.flags,
        )
        for each in session.actions
    ]


def recorded(recorder: Any, work: Any) -> Any:
    """Return the session of *work*, a coroutine function, in a block on a loop of its own."""

    async def main() -> Any:
        async with recorder.session() as session:
            await work()
        return session.result

    return asyncio.run(main())


def test_a_timeout_is_a_cancelled_call_and_what_follows_is_none(recorder: Any) -> None:
    async def work() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await forever("timeout")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(forever("wait_for"), 0.001)
        await look_async("after")

    session = recorded(recorder, work)
    [first, *_] = told(session)
    assert first == (0, "forever", None, "CancelledError", True)
    assert [row[1:] for row in told(session) if row[1] == "forever"] == [("forever", None, "CancelledError", True)] * 2
    assert told(session)[-1][1:] == ("look_async", None, None, False)
    assert [action.sequence for action in session.actions] == list(range(len(session.actions)))


def test_a_task_group_that_fails_cancels_the_others(recorder: Any) -> None:
    async def work() -> None:
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(forever("waits"))
                group.create_task(fails("fails"))

    assert told(recorded(recorder, work)) == [
        (0, "forever", None, "CancelledError", True), (1, "look_async", 0, None, False),
        (2, "fails", None, "ValueError", False), (3, "look_async", 2, None, False),
    ]  # fmt: skip


def test_a_gather_that_fails_leaves_the_others_running(recorder: Any) -> None:
    """The block ends meanwhile: what still runs is kept as unfinished."""

    async def work() -> None:
        with pytest.raises(ValueError, match="fails"):
            await asyncio.gather(fails("fails"), forever("goes on"))

    session = recorded(recorder, work)
    assert [(each.name, each.parent, "unfinished" in each.flags) for each in session.actions] == [
        ("fails", None, False), ("look_async", 0, False), ("forever", None, True), ("look_async", 2, False),
    ]  # fmt: skip
    assert session.late == 0


def test_a_task_that_is_cancelled_before_it_begins_made_no_call(recorder: Any) -> None:
    async def work() -> None:
        task = asyncio.ensure_future(forever("never"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert told(recorded(recorder, work)) == []


def test_a_shielded_call_finishes_though_its_waiter_is_cancelled(recorder: Any) -> None:
    async def work() -> None:
        inner = asyncio.ensure_future(look_async("shielded"))
        waiter = asyncio.ensure_future(asyncio.shield(inner))
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert await inner == ["SHIELDED"]

    assert told(recorded(recorder, work)) == [(0, "look_async", None, None, False)]


def test_a_cancelled_block_keeps_its_session(recorder: Any) -> None:
    async def request(inside: asyncio.Event) -> None:
        async with recorder.session("cancelled"):
            look("before")
            inside.set()
            await asyncio.Event().wait()

    async def main() -> None:
        inside = asyncio.Event()
        task = asyncio.create_task(request(inside))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    session = recorder.get_session("cancelled")
    assert (session.state, session.ended_by, len(session.actions)) == ("sealed", "exception", 1)


def test_executors_know_the_session_if_they_copy_the_context(recorder: Any) -> None:
    """``to_thread`` does; ``run_in_executor`` does not, and is helped by carry."""

    async def main() -> Any:
        async with recorder.session() as session:
            loop = asyncio.get_running_loop()
            await asyncio.to_thread(look, "to_thread")
            await loop.run_in_executor(None, session.carry(look), "carried")
            with pytest.warns(replaykit.errors.ReplaykitWarning, match="carry"):
                await loop.run_in_executor(None, look, "missed")
        return session.result

    session = asyncio.run(main())
    assert [action.arguments["query"] for action in session.actions] == ["to_thread", "carried"]
    assert recorder.stats()["unscoped"] == 1


@pytest.mark.parametrize("how", ["collected", "closed elsewhere", "loop closed"])
def test_an_async_generator_that_is_left_keeps_its_items(recorder: Any, how: str) -> None:
    """However it ends, its action has what was consumed, and no other context notices."""

    @replaykit.records("tool")
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            await look_async(str(number))
            yield number

    async def use(session: Any) -> Any:
        stream: Any = numbers()
        assert await anext(stream) == 0
        if how == "collected":
            del stream
            gc.collect()
            await asyncio.sleep(0)
            return None
        if how == "closed elsewhere":
            await asyncio.create_task(stream.aclose())
            return None
        return stream

    with recorder.session() as session:
        loop = asyncio.new_event_loop()
        kept = loop.run_until_complete(use(session))
        loop.close()
        del kept
        look("after")
    stream, inside, after = session.result.actions
    assert (stream.output, inside.parent, after.parent) == ([0], stream.sequence, None)
    assert stream.flags & {"abandoned", "unfinished"}
    assert (session.result.lost, session.result.late) == (0, 0)
