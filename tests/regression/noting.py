"""A small agent with a call of every shape, whose recording is the same whenever and wherever it is made."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import replaykit
from replaykit.model import ReplaySession
from replaykit.regression.writing import recording_bytes

IDENTITY = "test_notes.py::TestNotes::test_find[paris]"


class Clock:
    """A clock that stands where it is put; durations are what it is told."""

    def __init__(self, wall_ns: int, step_ns: int) -> None:
        self._wall_ns, self._step_ns = wall_ns, step_ns
        self._passed_ns = 0

    def time_ns(self) -> int:
        self._passed_ns += self._step_ns
        return self._wall_ns + self._passed_ns

    perf_counter_ns = time_ns


@replaykit.records("find")
def search(query: str, k: int = 2) -> list[dict[str, Any]]:
    return [{"frame_id": number, "text": f"about {query}", "score": 0.1} for number in range(k)]


@replaykit.records("ask")
def answer(question: str) -> str:
    return f"{len(search(question))} notes say: " + "Paris is in France. " * 2000


@replaykit.records("tool")
def price(text: str) -> tuple[Decimal, set[str]]:
    if text == "free":
        raise ValueError("no price")
    return Decimal(text), {"EUR", "USD", "CHF"}


@replaykit.records("tool")
def words(text: str) -> Iterator[str]:
    yield from text.split()


@replaykit.records("tool")
async def words_later(text: str) -> AsyncIterator[str]:
    for word in text.split():
        yield word


@replaykit.records("find")
async def search_later(query: str) -> list[str]:
    return [query]


async def _later() -> None:
    await search_later("later")
    assert [word async for word in words_later("one by one")] == ["one", "by", "one"]


def calls() -> Iterator[str]:
    """Make all calls and return a stream that is not at its end."""
    search("paris")
    answer("Where is Paris?")
    price("12.50")
    assert list(words("a b")) == ["a", "b"]
    asyncio.run(_later())
    try:
        price("free")
    except ValueError:
        running = iter(words("c d"))
        next(running)
    return running


@contextmanager
def session_in(store: Any, clock: Clock | None = None, **settings: Any) -> Iterator[ReplaySession]:
    """Record `calls` into *store* and give the session; what is in RAM is gone afterwards."""
    recorder: Any = replaykit.Recorder(store, on_loss="raise", **settings)
    if clock is not None:
        recorder._engine.clock = clock
    with recorder:
        with recorder.session("whatever", metadata={"user": "ann"}) as session:
            session.checkpoint()
            running = calls()
        del running
        yield session.result


def write(store: str) -> None:
    """Record `calls` into *store* and write their recording to standard output."""
    with session_in(store) as session:
        sys.stdout.buffer.write(recording_bytes(IDENTITY, [(session, None)]))
