"""Structured concurrency of anyio and trio: tasks know their session and parent, cancelled ones say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest
import trio

import replaykit

pytestmark = pytest.mark.libraries


@replaykit.records("find")
def look(query: str) -> list[str]:
    return [query]


@replaykit.records("tool")
async def task(name: str) -> None:
    await anyio.lowlevel.checkpoint()
    look(name)


@replaykit.records("tool")
async def forever() -> None:
    await anyio.sleep_forever()


@pytest.fixture
def recorder() -> Iterator[Any]:
    with replaykit.Recorder("runs.rpk", on_loss="raise") as recorder:
        yield recorder


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_task_group_keeps_parents_and_says_what_was_cancelled(recorder: Any, backend: str) -> None:
    async def main() -> Any:
        async with recorder.session() as session:
            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(task, str(number))
            with anyio.move_on_after(0):
                await forever()
            await anyio.to_thread.run_sync(look, "thread")
        return session.result

    actions = anyio.run(main, backend=backend).actions
    assert [action.sequence for action in actions] == list(range(len(actions)))
    tasks = {action.sequence: action.arguments["name"] for action in actions if action.name == "task"}
    inside = {action.arguments["query"]: action.parent for action in actions if action.name == "look"}
    assert inside.pop("thread") is None
    assert {query: tasks[parent] for query, parent in inside.items()} == {str(n): str(n) for n in range(20)}
    [cancelled] = [action for action in actions if action.name == "forever"]
    assert "cancelled" in cancelled.flags and cancelled.parent is None


def test_a_nursery_of_trio_runs_requests_side_by_side(recorder: Any) -> None:
    async def request(name: str) -> None:
        async with recorder.session(name):
            await task(name)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(request, str(number))

    trio.run(main)
    for number in range(10):
        actions = recorder.get_session(str(number)).actions
        assert [(each.name, each.parent, *each.arguments.values()) for each in actions] == [
            ("task", None, str(number)), ("look", 0, str(number)),
        ]  # fmt: skip


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_portal_into_another_thread_takes_the_session_along(recorder: Any, backend: str) -> None:
    """A blocking portal starts its tasks in the caller's context."""
    with recorder.session(adopt=False) as session, anyio.from_thread.start_blocking_portal(backend) as portal:
        portal.call(task, "portal")
    assert [(each.name, each.parent) for each in session.result.actions] == [("task", None), ("look", 0)]
