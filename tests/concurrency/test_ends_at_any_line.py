"""A session that ends in the middle of a call of it, at whatever line of ours: the call runs, once, as without us."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from concurrency.calls import look, look_async, outer, words, words_async
from effort import Figure

import replaykit
from replaykit.intercept import functions, generators, proxy, recorded, scope, shapes, steps, streaming, subjects
from replaykit.recording import calls, hot_path, session, tickets

MODULES = (calls, functions, generators, hot_path, proxy, recorded, scope, session, shapes, steps, streaming, subjects)
OURS = frozenset(str(module.__file__) for module in (*MODULES, tickets))


class Shelf:
    def find(self, query: str) -> str:
        return query.upper()


async def asynchronous() -> list[str]:
    found = await look_async("awaited")
    return found + [word async for word in words_async()]


def in_a_loop() -> list[str]:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(asynchronous())
    finally:
        loop.close()


WORK: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "plain": (lambda _: look("x"), ["X"]),
    "nested": (lambda _: outer("x"), ["X INSIDE"]),
    "generator": (lambda _: list(words()), ["IN A GENERATOR", "second"]),
    "coroutines": (lambda _: in_a_loop(), ["AWAITED", "IN AN ASYNC GENERATOR", "second"]),
    "wrapped": (lambda recorder: recorder.wrap(Shelf(), {"find": "find"}).find("x"), "X"),
    "instrumented": (lambda recorder: recorder.instrument(Shelf(), {"find": "find"}).find("x"), "X"),
}


class Ender:
    """Ends the session at line number *at* of our code, as a signal handler or another thread may."""

    def __init__(self, recorder: Any, opened: Any, at: int) -> None:
        self._end = lambda: recorder._engine.end(opened, by="call")
        self._left = at
        self.where = ""

    def run(self, work: Callable[[], Any]) -> Any:
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            return work()
        finally:
            sys.settrace(before)

    def _called(self, frame: types.FrameType, _event: str, _argument: Any) -> Any:
        return self._passed if frame.f_code.co_filename in OURS else None

    def _passed(self, frame: types.FrameType, event: str, _argument: Any) -> Any:
        if event == "line" and not self.where:
            self._left -= 1
            if self._left < 0:
                self.where = f"{frame.f_code.co_qualname}, line {frame.f_lineno}"
                self._end()
        return self._passed


@pytest.mark.parametrize("name", list(WORK))
def test_the_call_is_as_without_us(name: str, figure: Figure) -> None:
    work, expected = WORK[name]
    at, where = 0, "the beginning"
    with replaykit.Recorder(":memory:") as recorder:
        while where:
            with recorder.session("ended", adopt=True) as block:
                ender = Ender(recorder, block.opened, at)
                assert ender.run(lambda: work(recorder)) == expected, ender.where
            kept = block.result
            assert kept is not None
            assert (kept.state, kept.lost) == ("sealed", 0), ender.where
            assert [action.sequence for action in kept.actions] == list(range(len(kept.actions))), ender.where
            at, where = at + 1, ender.where
    figure("ends", f"{name}: a session ended at {at} lines of ours, every call as without us")
