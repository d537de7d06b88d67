"""
Ctrl-C at any moment of a recording: it reaches the user, and what comes after is recorded as ever.

The interpreter looks for signals where a function of Python begins and where
one of C returns; that is where a profile function is called, and may raise.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from concurrency.calls import look, look_async, outer, words, words_async
from effort import Figure, effort

import replaykit
from replaykit.intercept import generators, recorded, scope, shapes, steps
from replaykit.intercept.scope import CURRENT, open_sessions
from replaykit.recording import calls, carrying, engine, handle, hot_path, session, tickets


def codes_of(module: types.ModuleType) -> set[types.CodeType]:
    """Return the code of all functions that *module* defines, and of those inside them."""
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    members = [member for value in own for member in ([value] if callable(value) else [])]
    members += [member for value in own if isinstance(value, type) for member in vars(value).values()]
    found: set[types.CodeType] = set()
    waiting = [code for member in members if (code := getattr(_function_of(member), "__code__", None))]
    while waiting:
        code = waiting.pop()
        found.add(code)
        waiting += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
    return found


def _function_of(member: Any) -> Any:
    return member.fget if isinstance(member, property) else member


RECORDING = set().union(
    *map(
        codes_of,
        (scope, recorded, generators, shapes, steps, calls, carrying, engine, handle, hot_path, session, tickets),
    )
)
# A with statement whose ``__exit__`` has not begun cannot be helped by it.
RECORDING -= {handle.SessionHandle.__exit__.__code__, handle.SessionHandle.__aexit__.__code__}


class Interrupter:
    """Raises KeyboardInterrupt at moment number *at* of the recording's own code."""

    def __init__(self, at: int) -> None:
        self._left = at
        self.where = ""

    def run(self, action: Callable[[], Any]) -> bool:
        """Do *action*; return whether it came to the interrupt."""
        sys.setprofile(self._passed)
        try:
            action()
        except KeyboardInterrupt:
            assert self.where
        finally:
            sys.setprofile(None)
        return bool(self.where)

    def _passed(self, frame: types.FrameType, event: str, argument: Any) -> None:
        if event not in ("call", "c_return") or frame.f_code not in RECORDING:
            return
        self._left -= 1
        if self._left < 0:
            sys.setprofile(None)
            self.where = f"{frame.f_code.co_qualname}, line {frame.f_lineno}, {event} {argument}"
            raise KeyboardInterrupt


def plain(recorder: Any) -> None:
    """Calls of three shapes in a block; the interrupt is caught, and the block goes on."""
    with recorder.session("interrupted"):
        with contextlib.suppress(KeyboardInterrupt):
            outer("plain")
            list(words())
        look("goes on")


def asynchronous(recorder: Any) -> None:
    async def main() -> None:
        async with recorder.session("interrupted"):
            await look_async("a coroutine")
            assert len([word async for word in words_async()]) == 2

    coroutine = main()
    # No event loop: it would be interrupted itself.
    with contextlib.suppress(StopIteration):
        while True:
            coroutine.send(None)


def started(recorder: Any) -> None:
    """Without a block the user ends it once more if the end was interrupted."""
    try:
        recorder.start_session("interrupted")
        look("started")
        recorder.end_session()
    finally:
        if recorder.is_recording:
            recorder.end_session()


def decorated(recorder: Any) -> None:
    @recorder.session("interrupted")
    def task() -> Iterator[list[str]]:
        yield look("in a task")

    assert list(task()) == [["IN A TASK"]]


def carried(recorder: Any) -> None:
    with recorder.session("interrupted") as block:
        far = [block.carry(look), block.carry(words)]
        CURRENT.set(None)
        try:
            assert far[0]("far") == ["FAR"]
            assert len(list(far[1]())) == 2
        finally:
            CURRENT.set(block._scope)


def demand_nothing_open(recorder: Any) -> None:
    """No session stays open, and none stands in the way of the next."""
    assert CURRENT.get() is None
    assert (open_sessions(), recorder.stats()["open_sessions"], recorder.is_recording) == ((), 0, False)
    with recorder.session("next"):
        look("x")


def demand_no_holes(recorder: Any) -> None:
    """All that was recorded is whole, and what came after an interrupt is recorded as ever."""
    for summary in recorder.list_sessions():
        kept = recorder.get_session(summary)
        assert (kept.state, kept.lost) == ("sealed", 0)
        assert [action.sequence for action in kept.actions] == list(range(len(kept.actions)))
        assert kept.name == "interrupted" or [action.parent for action in kept.actions] == [None]


# A coroutine that is interrupted before its first step says so, as without us.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("work", [plain, asynchronous, started, decorated, carried])
def test_an_interrupt_at_any_moment_leaves_nothing_behind(work: Callable[[Any], None], figure: Figure) -> None:
    """The light run takes every eleventh moment."""
    at, count, goes_on = 0, 0, True
    with replaykit.Recorder(":memory:", on_loss="raise") as recorder:
        while goes_on:
            interrupter = Interrupter(at)
            goes_on = interrupter.run(lambda: work(recorder))
            try:
                demand_nothing_open(recorder)
            except BaseException as error:
                error.add_note(f"interrupted at {interrupter.where}")
                raise
            at, count = at + (1 if effort(100) > 1 else 11), count + 1
        assert len(recorder.list_sessions(name="next")) == count
        demand_no_holes(recorder)
    assert at > 60
    figure("Ctrl-C", f"{work.__name__}: {count} of {at} moments, 0 sessions left open, 0 holes")
