"""The chain of sessions in a context: what suspends, ends elsewhere or is left out of order leaves nothing in it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from concurrency.calls import look, look_async

import replaykit
from replaykit.intercept.scope import CURRENT


class Suspended:
    """What a coroutine awaits until it is sent something."""

    def __await__(self) -> Iterator[None]:
        yield


@replaykit.records("tool")
async def waits() -> list[str]:
    await Suspended()
    return look("woken")


def chain() -> int:
    """Return how many links this context has."""
    link, count = CURRENT.get(), 0
    while link is not None:
        link, count = link.outer, count + 1
    return count


def test_who_runs_while_a_coroutine_waits_is_not_inside_it(recorder: Any) -> None:
    """Driven by hand, or by two tasks that share a context: the scope is set around each step only."""
    with recorder.session() as session:
        coroutine = waits()
        coroutine.send(None)
        look("meanwhile")
        with pytest.raises(StopIteration):
            coroutine.send(None)
        look("after")
    assert [(next(iter(action.arguments.values()), ""), action.parent) for action in session.result.actions] == [
        ("", None), ("meanwhile", None), ("woken", 0), ("after", None),
    ]  # fmt: skip


def test_tasks_that_share_a_context_do_not_become_parents(recorder: Any) -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    @replaykit.records("tool")
    async def slow() -> None:
        inside.set()
        await leave.wait()
        await look_async("of slow")

    async def main() -> Any:
        async with recorder.session() as session:
            shared = contextvars.copy_context()
            loop = asyncio.get_running_loop()
            first = loop.create_task(slow(), context=shared)
            await inside.wait()
            await loop.create_task(look_async("beside"), context=shared)
            leave.set()
            await first
        return session.result

    actions = asyncio.run(main()).actions
    assert [(action.sequence, action.name, action.parent) for action in actions] == [
        (0, "slow", None), (1, "look_async", None), (2, "look_async", 0),
    ]  # fmt: skip


def test_a_coroutine_that_outlives_its_session_leaves_no_trace(recorder: Any) -> None:
    with recorder.session() as first:
        coroutine = waits()
        coroutine.send(None)
    assert chain() == 0
    with recorder.session() as second:
        look("second")
        coroutine.close()
        look("still second")
    assert chain() == 0
    assert [action.flags for action in first.result.actions] == [frozenset({"unfinished"})]
    assert [action.arguments["query"] for action in second.result.actions] == ["second", "still second"]
    assert (first.result.late, second.result.late) == (0, 0)


@pytest.mark.parametrize("shape", ["plain", "coroutine", "generator"])
def test_a_session_that_is_ended_inside_a_call_is_gone_outside(recorder: Any, shape: str) -> None:
    """The call is kept as unfinished; calls after it are nobody's, and not late for ever."""

    @replaykit.records("tool")
    def plain() -> None:
        recorder.end_session()

    @replaykit.records("tool")
    async def coroutine() -> None:
        recorder.end_session()

    @replaykit.records("tool")
    def generator() -> Iterator[None]:
        yield recorder.end_session()

    recorder.start_session("ended inside")
    if shape == "plain":
        plain()
    elif shape == "generator":
        list(generator())
    else:
        with pytest.raises(StopIteration):
            coroutine().send(None)
    assert chain() == 0
    look("outside")
    session = recorder.get_session("ended inside")
    assert [action.flags for action in session.actions] == [frozenset({"unfinished"})]
    assert session.late == 0


def test_a_session_that_is_ended_below_another_one_is_gone_when_that_is_left(recorder: Any) -> None:
    with replaykit.Recorder("other.rpk") as other:
        recorder.start_session("below")
        with other.session() as above:
            recorder.end_session()
            look("above")
        assert chain() == 0
    assert len(above.result.actions) == 1
    assert recorder.get_session("below").late == 0


def test_sessions_that_another_thread_ends_do_not_pile_up(recorder: Any) -> None:
    for number in range(3):
        recorder.start_session(str(number))
        look(str(number))
        thread = threading.Thread(target=recorder.end_session)
        thread.start()
        thread.join()
        assert chain() == 1
    assert [summary.action_count for summary in recorder.list_sessions()] == [1, 1, 1]
