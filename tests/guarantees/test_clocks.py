"""A clock that is set back, or far ahead, changes no order and no duration (G20)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from effort import Figure

import replaykit
from replaykit.storage.directory_store import DirectoryStore
from replaykit.storage.file_store import FileStore

HOUR_NS = 3600 * 10**9
JUMPS_NS = {"an hour": HOUR_NS, "ten years": 10 * 365 * 24 * HOUR_NS}


class Clock:
    """A wall clock that can be set, and a monotonic one that only goes on: a millisecond per look at it."""

    def __init__(self) -> None:
        self.wall_ns = 1_700_000_000 * 10**9
        self.monotonic_ns = 0

    def time_ns(self) -> int:
        self.wall_ns += 1_000
        return self.wall_ns

    def perf_counter_ns(self) -> int:
        self.monotonic_ns += 1_000_000
        return self.monotonic_ns


@replaykit.records("find")
def look(query: str) -> list[str]:
    return [query.upper()]


@pytest.fixture(params=["file", "directory"])
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Clock]]:
    clock = Clock()
    recorder: Any = replaykit.Recorder(tmp_path / "runs.rpk", on_loss="raise")
    make: Any = FileStore if request.param == "file" else DirectoryStore
    recorder._engine.clock = clock
    recorder._engine.lease.opened = make(tmp_path / f"runs.{request.param}", clock=clock.time_ns)
    yield recorder, clock
    recorder.close()


def record(recorder: Any, name: str, between: Callable[[int], None] = lambda number: None) -> None:
    with recorder.session(name):
        for number in range(6):
            between(number)
            look(f"{number}")


@pytest.mark.parametrize("direction", [-1, 1], ids=["back", "ahead"])
@pytest.mark.parametrize("jump", list(JUMPS_NS))
def test_g20_a_clock_that_is_set_changes_no_order_and_no_duration(
    recording: tuple[Any, Clock], jump: str, direction: int, figure: Figure
) -> None:
    """While a session is recorded, and between two of them."""
    recorder, clock = recording

    def set_clock(number: int = 3) -> None:
        if number == 3:
            clock.wall_ns += direction * JUMPS_NS[jump]

    record(recorder, "as ever")
    record(recorder, "set meanwhile", set_clock)
    set_clock()
    record(recorder, "after it was set")
    set_clock()
    record(recorder, "and once more")

    names = ["as ever", "set meanwhile", "after it was set", "and once more"]
    recorder.flush()
    assert [summary.name for summary in recorder.list_sessions()] == names
    usual, *others = [recorder.get_session(name) for name in names]
    assert recorder.get_session("last").name == "and once more"
    for session in (usual, *others):
        assert [action.arguments["query"] for action in session.actions] == [f"{number}" for number in range(6)]
        assert [action.duration_ns for action in session.actions] == [1_000_000] * 6
        assert [action.sequence for action in session.actions] == list(range(6))
        assert session.state == "sealed"
    lengths = {summary.name: summary.duration_secs for summary in recorder.list_sessions()}
    assert set(lengths.values()) == {lengths["as ever"]}
    figure("G20", f"{jump} {'back' if direction < 0 else 'ahead'}: order, durations and listing as ever")
