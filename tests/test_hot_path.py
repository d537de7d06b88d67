"""The hot path is a short cut: what it leaves in a recording is what the steps behind it leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import replaykit
from replaykit.model import ReplayAction, ReplaySession

# A limit that is never reached: each call has to be asked for.
IN_STEPS = replaykit.ReplayConfig(max_actions_per_session=1_000_000)


@replaykit.records("find")
def look(query: Any, k: int = 5, **more: Any) -> Any:
    if query == "nothing":
        return None
    if query == "error":
        raise LookupError("sk-abcdefghijklmnopqrstuvwx is no key")
    return {"query": query, "k": k, "more": more, "pair": (1, {2, 3}), "text": "\ud800"}


@replaykit.records("tool")
def around(query: str) -> Any:
    return [look(query), look(query, k=1)]


@replaykit.records("put")
def put(content: str, **more: Any) -> Any:
    if content == "error":
        raise OSError(content)
    return look(content)


@replaykit.records("ask")
async def ask(question: str) -> Any:
    await asyncio.sleep(0)
    return put(question)


@replaykit.records("find")
def handing_out(query: str) -> Iterator[str]:
    return (query + str(number) for number in range(3))


@replaykit.records("find")
async def look_async(query: str, pauses: int = 0) -> Any:
    for _ in range(pauses):
        await asyncio.sleep(0)
        look(query)
    if query == "error":
        raise LookupError(query)
    return look


@replaykit.records("find")
async def stream_async(query: str) -> AsyncIterator[str]:
    yield query
    await look_async(query)
    yield look(query)["query"]


class Notes:
    def find(self, query: str) -> list[str]:
        return [query, look(query)["query"]]


async def awaited() -> None:
    for pauses in (0, 1, 2):
        await look_async("a", pauses)
        with suppress(LookupError):
            await look_async("error", pauses)
    await ask("who?")
    assert [item async for item in stream_async("b")] == ["b", "b"]


def make_calls(notes: list[Any]) -> None:
    for query in ("plain", "nothing", "api_key=hunter2hunter2", object(), {1: 2}, "x" * 20_000):
        look(query)
    look("more", token="hunter2hunter2", other=look)
    for wrong in ({}, {"query": "twice", "k": 1, "query2": ()}):
        with suppress(TypeError):
            look("a", 1, 2, **wrong)
    with suppress(LookupError):
        look("error")
    around("inside")
    for content in ("text", "api_key=hunter2hunter2", "x" * 20_000):
        put(content, password="hunter2hunter2", kind=object())
    with suppress(OSError):
        put("error")
    assert list(handing_out("item")) == ["item0", "item1", "item2"]
    asyncio.run(awaited())
    for each in notes:
        each.find("of an object")


def recorded(path: Path, *, in_steps: bool) -> ReplaySession:
    with replaykit.Recorder(path) as recorder:
        notes = [recorder.wrap(Notes()), recorder.instrument(Notes())]
        with recorder.session("calls", config=IN_STEPS if in_steps else None, adopt=True) as session:
            assert (session._active.run is None) == in_steps
            make_calls(notes)
    assert session.result.lost == 0
    return session.result


COMPARED = (
    "sequence", "parent", "kind", "name", "source", "arguments", "output", "error", "flags", "generation",
    "input_hash", "output_hash", "input_preview", "output_preview", "affected_frames",
)  # fmt: skip


def without_times(action: ReplayAction) -> dict[str, Any]:
    return {name: getattr(action, name) for name in COMPARED}


def test_a_call_taken_whole_and_in_steps_leaves_the_same_action(tmp_path: Path) -> None:
    """Results, errors, secrets, streams, coroutines that wait, calls inside calls, and objects."""
    whole = recorded(tmp_path / "whole.rpk", in_steps=False)
    steps = recorded(tmp_path / "steps.rpk", in_steps=True)

    assert len(whole.actions) > 30
    assert [without_times(action) for action in whole.actions] == [without_times(action) for action in steps.actions]
