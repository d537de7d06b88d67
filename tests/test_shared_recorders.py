"""`replaykit.session(store=...)` with many stores: what is idle is given back, and no session is lost by it."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import replaykit
from replaykit.intercept.scope import PROCESS

STORES = 45
FEW = 4 * 34
"""So many descriptors many stores may hold at most: a store and its log for each that is not given back yet."""


@replaykit.records("find")
def search(query: str) -> list[str]:
    return [query.upper()]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    gc.collect()
    yield
    gc.collect()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def wait_until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def asked_in_a_child() -> int:
    """Return how many objects a forked child would tell that it is one."""
    return sum(reference() is not None for reference in list(PROCESS.forked.values()))


def sessions_in(store: object) -> list[tuple[str | None, str, int]]:
    with replaykit.load(str(store)) as recording:
        return [(each.name, each.state, each.action_count) for each in recording.list_sessions()]


def test_many_stores_take_few_descriptors(tmp_path: Path) -> None:
    """One after the other, as a service with a store for each tenant has them."""
    before, most = descriptors(), 0
    for number in range(STORES):
        with replaykit.session("request", store=tmp_path / f"{number}.rpk"):
            search("x")
        most = max(most, descriptors() - before)

    assert most < FEW
    for number in range(STORES):
        assert sessions_in(tmp_path / f"{number}.rpk") == [("request", "sealed", 1)]


def test_sessions_that_are_open_keep_their_store(tmp_path: Path) -> None:
    """However many others come by: their calls are recorded, and so is one that outlives its block."""
    began, go_on = threading.Event(), threading.Event()

    @replaykit.records("tool")
    def slow() -> int:
        began.set()
        go_on.wait(20)
        return 7

    with replaykit.session("long", store=tmp_path / "long.rpk") as session:
        thread = threading.Thread(target=session.carry(slow))
        thread.start()
        assert began.wait(20)
        for number in range(STORES):
            with replaykit.session(store=tmp_path / f"{number}.rpk"):
                pass
        search("x")
        go_on.set()
        thread.join()

    assert session.result is not None
    assert [action.name.rsplit(".")[-1] for action in session.result.actions] == ["slow", "search"]


def test_a_block_that_is_entered_late_is_recorded(tmp_path: Path) -> None:
    """Also again and again, as a decorator: its store is opened anew and given back again."""
    waiting = replaykit.session("waiting", store=tmp_path / "waiting.rpk")
    decorated = replaykit.session("decorated", store=tmp_path / "decorated.rpk")(search)
    before = descriptors()
    for number in range(STORES):
        with replaykit.session(store=tmp_path / f"{number}.rpk"):
            pass
        if number % 15 == 0:
            decorated("x")
    with waiting:
        search("x")
    result = waiting.result

    assert result is not None
    assert len(result.actions) == 1
    assert sessions_in(tmp_path / "decorated.rpk") == [("decorated", "sealed", 1)] * 3
    assert descriptors() - before < FEW


def test_threads_with_many_stores_lose_nothing(tmp_path: Path) -> None:
    """Sessions begin and end while the stores of others are given back, and their own are."""
    barrier = threading.Barrier(6)

    def serve(first: int) -> None:
        barrier.wait()
        for number in range(first, first + STORES):
            with replaykit.session("request", store=tmp_path / f"{number % 45}.rpk", adopt=False):
                search("x")

    threads = [threading.Thread(target=serve, args=(7 * each,)) for each in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def counted() -> int:
        return sum(len(sessions_in(tmp_path / f"{number}.rpk")) for number in range(45))

    assert wait_until(lambda: counted() == 6 * STORES)
    found = [each for number in range(45) for each in sessions_in(tmp_path / f"{number}.rpk")]
    assert set(found) == {("request", "sealed", 1)}


def test_an_option_that_is_made_anew_each_time_makes_no_recorder_for_ever(tmp_path: Path) -> None:
    """A lambda is another one at each call; equal options are the same."""
    store, before = f"{tmp_path}/runs/", asked_in_a_child()
    for _ in range(400):
        with replaykit.session(
            store=store, keep="on_failure", keep_if=lambda call: call.result == ["X"], metadata=None, redact=[]
        ):
            search("x")
    gc.collect()

    # Ended sessions are remembered for calls that come late, with their recorders, but no more than a few hundred.
    assert asked_in_a_child() - before < 256 + 50
    assert len(PROCESS.forked) < 2 * (before + 256 + 50) + 32
    with replaykit.session("last", store=store) as last:
        search("x")
    assert last.result is not None
    assert len(sessions_in(store)) == 401


def test_closed_recorders_leave_nothing_behind(tmp_path: Path) -> None:
    """Nothing of them is asked in a forked child."""
    gc.collect()
    before = asked_in_a_child()
    for number in range(20):
        with replaykit.Recorder(tmp_path / f"{number}.rpk") as recorder, recorder.session():
            search("x")
    del recorder
    assert wait_until(lambda: (gc.collect(), asked_in_a_child() <= before + 2)[1])
