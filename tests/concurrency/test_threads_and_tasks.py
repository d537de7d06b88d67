"""Whose call is it: threads and tasks, and none of them loses a call."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from concurrency.calls import demand_pairs, look, look_async, outer, outer_async, session_of, started_together

import replaykit
from replaykit.errors import ReplaykitWarning

# -- every call once, under its own parent ------------------------------------------


def test_eight_threads_record_each_call_once(recorder: Any) -> None:
    def work(number: int) -> None:
        for call in range(500):
            outer(f"{number}/{call}")

    with recorder.session() as session:
        started_together(work, 8)
    demand_pairs(session.result, 8 * 500)


def test_a_thousand_tasks_record_each_call_once(recorder: Any) -> None:
    async def main() -> None:
        await asyncio.gather(*(outer_async(str(number)) for number in range(1000)))

    with recorder.session() as session:
        asyncio.run(main())
    demand_pairs(session.result, 1000)


def test_tasks_and_threads_of_one_session_keep_their_parents(recorder: Any) -> None:
    async def one(number: int) -> None:
        await outer_async(f"task {number}")
        await asyncio.to_thread(outer, f"thread {number}")

    async def main() -> None:
        async with recorder.session("both") as session:
            await asyncio.gather(*(one(number) for number in range(50)))
        demand_pairs(session.result, 100)

    asyncio.run(main())


# -- one request never lands in another's session --------------------------------------


def test_a_request_that_is_not_recorded_stays_out_of_the_others(recorder: Any) -> None:
    """Two requests interleave on one loop; the disabled one calls in tasks and worker threads."""

    async def request(name: str, enabled: bool, turn: asyncio.Event, other: asyncio.Event) -> Any:
        async with recorder.session(name, enabled=enabled) as session:
            for number in range(5):
                turn.clear()
                await asyncio.gather(look_async(f"{name} {number}"), asyncio.to_thread(outer, f"{name} {number}"))
                other.set()
                await turn.wait()
        other.set()
        return session.result

    async def main() -> list[Any]:
        first, second = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(request("kept", True, first, second), request("silent", False, second, first))

    kept, silent = asyncio.run(main())
    assert silent is None
    assert {next(iter(action.arguments.values())).split()[0] for action in kept.actions} == {"kept"}
    assert len(kept.actions) == 15
    assert [summary.name for summary in recorder.list_sessions()] == ["kept"]
    assert recorder.stats()["unscoped"] == 0


def test_a_request_that_is_sampled_out_stays_out_of_the_others(tmp_path: Path) -> None:
    kept = replaykit.Recorder(tmp_path / "kept.rpk")
    sampled_out = replaykit.Recorder(tmp_path / "out.rpk", sample_rate=0.0)
    inside, done = threading.Event(), threading.Event()

    def request() -> None:
        with sampled_out.session() as session:
            inside.set()
            done.wait()
            outer("sampled out")
            assert session.id is None

    with kept.session() as session:
        thread = threading.Thread(target=request)
        thread.start()
        inside.wait()
        look("kept")
        done.set()
        thread.join()
        assert [action.kind for action in session_of(kept, session).actions] == ["find"]
    kept.close()
    sampled_out.close()


def test_a_scripts_thread_pool_is_recorded_whole(recorder: Any) -> None:
    """Threads have no context of their own: the only session of a script on the main thread takes them in."""
    with recorder.session() as session, ThreadPoolExecutor(4) as pool:
        list(pool.map(outer, map(str, range(100))))
    demand_pairs(session.result, 100)


def test_a_call_in_a_thread_without_a_session_is_counted_and_warned_about_once(recorder: Any) -> None:
    with recorder.session(adopt=False) as session, pytest.warns(ReplaykitWarning, match="carry") as warned:
        with ThreadPoolExecutor(1) as pool:
            results = list(pool.map(look, ["a", "b", "c"]))
    assert results == [["A"], ["B"], ["C"]]
    assert len(session.result.actions) == 0
    assert len(warned) == 1
    assert recorder.stats()["unscoped"] == 3


def test_a_session_inside_a_running_loop_adopts_nobody(recorder: Any) -> None:
    async def main() -> Any:
        async with recorder.session() as session:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(look, "elsewhere").result()
        return session.result

    with pytest.warns(ReplaykitWarning, match="carry"):
        assert len(asyncio.run(main()).actions) == 0


def test_two_open_sessions_adopt_nobody(recorder: Any, tmp_path: Path) -> None:
    """Whose call would it be?  Nobody knows, so it is counted."""
    with replaykit.Recorder(tmp_path / "other.rpk") as other, recorder.session() as first, other.session() as second:
        with pytest.warns(ReplaykitWarning, match="carry"), ThreadPoolExecutor(1) as pool:
            pool.submit(look, "whose").result()
        assert recorder.stats()["unscoped"] + other.stats()["unscoped"] == 1
    assert [summary.action_count for summary in recorder.list_sessions()] == [0]
    assert first.id == recorder.list_sessions()[0].session_id != second.id


def test_carry_takes_the_session_and_the_parent_into_a_thread(recorder: Any) -> None:
    with recorder.session(adopt=False) as session:

        @replaykit.records("tool")
        def fan_out() -> list[list[str]]:
            with ThreadPoolExecutor(2) as pool:
                return list(pool.map(session.carry(look), ["a", "b"]))

        assert fan_out() == [["A"], ["B"]]
    first, *others = session.result.actions
    assert [action.parent for action in others] == [first.sequence] * 2
    assert recorder.stats()["unscoped"] == 0


def test_carry_takes_a_coroutine_function_into_another_loop(recorder: Any) -> None:
    with recorder.session(adopt=False) as session:
        carried = session.carry(look_async)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: asyncio.run(carried("far"))).result() == ["FAR"]
            # Nothing of the session stays behind in that thread.
            with pytest.warns(ReplaykitWarning):
                pool.submit(look, "near").result()
    assert [action.arguments for action in session.result.actions] == [{"query": "far"}]
