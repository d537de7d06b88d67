"""What is over is freed at once: nothing waits for the garbage collector, which stops the program when it comes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.intercept.scope import Scope
from replaykit.playback.player import Player
from replaykit.recording.background import background_of
from replaykit.recording.session import ActiveSession
from replaykit.recording.tickets import ActiveTicket
from replaykit.storage.log_files import FileLog

OURS = (ActiveSession, ActiveTicket, FileLog, Player, Scope)


@replaykit.records("find")
def find(query: str) -> list[str]:
    return [query]


@replaykit.records("find")
async def find_async(query: str) -> list[str]:
    await asyncio.sleep(0)
    return [query]


@replaykit.records("tool")
def words() -> Iterator[str]:
    yield from find("a b")


@replaykit.records("tool")
async def words_async() -> AsyncIterator[str]:
    for word in await find_async("a b"):
        yield word


@replaykit.records("tool")
def fails() -> None:
    raise ValueError


def calls(recorder: Any) -> None:
    """One call of each shape, in a block."""

    async def inside() -> None:
        async with recorder.session():
            await find_async("x")
            await asyncio.gather(find_async("y"), find_async("z"))
            _ = [word async for word in words_async()]
            stream = words_async()
            assert await anext(stream) == "a b"
            with suppress(ValueError):
                await stream.athrow(ValueError())
            assert await anext(words_async()) == "a b"

    with recorder.session():
        find("x")
        assert list(words()) == ["a b"]
        with suppress(ValueError):
            fails()
    asyncio.run(inside())


def failing(recorder: Any) -> None:
    with suppress(ValueError), recorder.session():
        fails()


def started(recorder: Any) -> None:
    recorder.start_session()
    find("x")
    recorder.end_session()


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], list[Any]]]:
    """Return what of ours is in memory since the test began, without any collection since then."""
    gc.disable()
    # What was there before is nobody's here, and to look at it would take long.
    gc.freeze()

    def found(recorder: Any) -> list[Any]:
        background = background_of(recorder._engine.lease.store)
        # Its thread may be looking at a session right now.
        background.stop()
        background._amended.clear()
        return [each for each in gc.get_objects() if isinstance(each, OURS)]

    yield found
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("work", [calls, failing, started])
@pytest.mark.parametrize("location", ["runs.rpk", "runs/", "notes.mv", ":memory:"])
def test_sessions_that_are_published(left: Any, tmp_path: Path, location: str, work: Callable[[Any], None]) -> None:
    with replaykit.Recorder(location if location == ":memory:" else tmp_path / location) as recorder:
        for _ in range(4):
            work(recorder)
        assert left(recorder) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_checkpoint": replaykit.policies.every(actions=1)},
        {"include": ["find"]},
        {"max_session_bytes": 1 << 20},
        {"durability": "always"},
        {"capture": "hash"},
        {"keep": "on_failure", "sample_rate": 0},
    ],
    ids=str,
)
def test_whatever_they_keep(left: Any, tmp_path: Path, settings: dict[str, Any]) -> None:
    with replaykit.Recorder(tmp_path / "runs.rpk", **settings) as recorder:
        calls(recorder)
        failing(recorder)
        assert left(recorder) == []


def test_a_play(left: Any, tmp_path: Path) -> None:
    """With each kind of question to it."""
    with replaykit.Recorder(tmp_path / "runs.rpk") as recorder:
        with recorder.session():
            find("x")
        recorded = recorder.get_session("last")
        with replaykit.play(recorded, live=["tool"]), suppress(replaykit.errors.NoMatchError):
            assert find("x") == ["x"]
            find("something else")
        with replaykit.play(recorded):
            assert replaykit.wrap(None, operations={"find": "find"}).find("x") == ["x"]
        assert left(recorder) == []
