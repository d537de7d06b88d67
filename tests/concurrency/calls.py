"""Recorded functions of each shape, and what a session of them must look like."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import replaykit


@replaykit.records("find")
def look(query: str) -> list[str]:
    return [query.upper()]


@replaykit.records("tool")
def outer(text: str) -> list[str]:
    return look(f"{text} inside")


@replaykit.records("find")
async def look_async(query: str) -> list[str]:
    await asyncio.sleep(0)
    return [query.upper()]


@replaykit.records("tool")
async def outer_async(text: str) -> list[str]:
    found: list[str] = await look_async(f"{text} inside")
    return found


@replaykit.records("tool")
def words() -> Iterator[str]:
    yield look("in a generator")[0]
    yield "second"


@replaykit.records("tool")
async def words_async() -> AsyncIterator[str]:
    yield (await look_async("in an async generator"))[0]
    yield "second"


@replaykit.records("tool")
def count_to(limit: int) -> Iterator[int]:
    yield from range(limit)


def started_together(work: Callable[[int], Any], count: int) -> None:
    """Run *work* in threads that begin at one barrier; raise what any of them raised."""
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(run, number) for number in range(count)]:
            done.result()


def demand_pairs(session: Any, calls: int) -> None:
    """Each outer call has one inner call with its text; sequences have no hole."""
    actions = list(session.actions)
    assert [action.sequence for action in actions] == list(range(2 * calls))
    by_sequence = {action.sequence: action for action in actions}
    texts = Counter(action.arguments["text"] for action in actions if action.parent is None)
    assert len(texts) == calls and set(texts.values()) == {1}
    for action in actions:
        if action.parent is not None:
            parent = by_sequence[action.parent]
            assert action.parent < action.sequence
            assert action.arguments["query"] == parent.arguments["text"] + " inside"
            assert action.output == parent.output
    assert session.lost == 0


def session_of(recorder: Any, handle: Any) -> Any:
    return recorder.get_session(handle.id)
