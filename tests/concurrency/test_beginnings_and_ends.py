"""Starting, ending, coming late."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from concurrency.calls import count_to, look, look_async, outer

import replaykit
from replaykit.errors import NoActiveSessionError, SessionActiveError


def test_a_session_started_in_another_thread_takes_this_threads_calls(recorder: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(recorder.start_session, "from afar").result()
        look("here")
        assert recorder.active_session_id == started
        session = recorder.end_session()
        assert [action.arguments for action in session.actions] == [{"query": "here"}]
        assert not recorder.is_recording


def test_a_call_after_the_end_is_late_and_lands_nowhere_else(recorder: Any) -> None:
    go, gone = threading.Event(), threading.Event()

    def straggler() -> None:
        gone.wait()
        for _ in range(3):
            look("late")
        go.set()

    with recorder.session("first") as session:
        thread = threading.Thread(target=session.carry(straggler))
        thread.start()
        look("in time")
    with recorder.session("second") as second:
        gone.set()
        go.wait()
    thread.join()
    assert (len(session.result.actions), session.result.late) == (1, 3)
    assert (len(second.result.actions), second.result.late) == (0, 0)
    # Its count was published anew, and yet it did not end last.
    assert [summary.name for summary in recorder.list_sessions()] == ["first", "second"]
    assert recorder.get_session("last").name == "second"


class Forever:
    """What a coroutine awaits that is never resumed."""

    def __await__(self) -> Iterator[None]:
        yield


def test_calls_that_run_at_the_end_are_kept_as_unfinished(recorder: Any) -> None:
    """A call in another thread, a half-read generator and a suspended coroutine: each with its input and items."""
    inside, leave = threading.Event(), threading.Event()

    @replaykit.records("tool")
    def slow(text: str) -> str:
        inside.set()
        leave.wait()
        return text

    @replaykit.records("tool")
    async def suspended(text: str) -> None:
        await Forever()

    with recorder.session() as session:
        thread = threading.Thread(target=slow, args=("in a thread",), daemon=True)
        thread.start()
        inside.wait()
        numbers = count_to(5)
        assert [next(numbers), next(numbers)] == [0, 1]
        coroutine = suspended("in a task")
        coroutine.send(None)
    leave.set()
    thread.join()
    assert list(numbers) == [2, 3, 4]
    coroutine.close()

    first, second, third = session.result.actions
    assert [action.sequence for action in (first, second, third)] == [0, 1, 2]
    assert all("unfinished" in action.flags for action in (first, second, third))
    assert [action.arguments for action in (first, second, third)] == [
        {"text": "in a thread"}, {"limit": 5}, {"text": "in a task"},
    ]  # fmt: skip
    assert (first.output, second.output) == (None, [0, 1])
    assert (session.result.lost, session.result.late) == (0, 0)


def test_ending_while_threads_record_leaves_no_hole(tmp_path: Path) -> None:
    """The end may come between any two steps of a call: the call is whole, unfinished or late, and nothing is lost."""
    with replaykit.Recorder(tmp_path / "runs.rpk", on_loss="raise") as recorder:
        for _ in range(12):
            recorder.start_session()
            begun, stop = threading.Semaphore(0), threading.Event()

            def work(begun: threading.Semaphore = begun, stop: threading.Event = stop) -> None:
                while not stop.is_set():
                    outer("x")
                    begun.release()

            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            for _ in range(10):
                begun.acquire()
            session = recorder.end_session()
            stop.set()
            for thread in threads:
                thread.join()
            assert [action.sequence for action in session.actions] == list(range(len(session.actions)))
            assert recorder.get_session(session.session_id).lost == 0


def test_a_second_session_of_a_recorder_in_one_context_is_refused(recorder: Any) -> None:
    with recorder.session("one") as session:
        with pytest.raises(SessionActiveError, match="A session is already active. End it before starting a new one."):
            recorder.start_session("two")
        with pytest.raises(SessionActiveError), recorder.session("two"):
            raise AssertionError("never entered")
        look("still recorded")
    assert len(session.result.actions) == 1
    with pytest.raises(NoActiveSessionError, match="No active session to end"):
        recorder.end_session()


def test_other_contexts_run_sessions_beside_it(recorder: Any) -> None:
    async def request(name: str) -> Any:
        async with recorder.session(name) as session:
            await look_async(name)
        return session.result

    async def main() -> list[Any]:
        return await asyncio.gather(*(request(str(number)) for number in range(20)))

    for number, session in enumerate(asyncio.run(main())):
        assert [action.arguments["query"] for action in session.actions] == [str(number)]


def test_an_explicit_session_inside_an_ambient_one_is_its_child(tmp_path: Path) -> None:
    config = replaykit.ReplayConfig(auto_record=True)
    with replaykit.open(tmp_path / "notes.mv", config=config) as memory:
        ambient = memory.active_session_id
        memory.put("outside")
        with memory.session("inside") as session:
            memory.put("inside")
        memory.put("outside again")
        whole = memory.end_session()
        assert whole.session_id == ambient
        assert [action.arguments["content"] for action in whole.actions] == ["outside", "outside again"]
        assert [action.arguments["content"] for action in session.result.actions] == ["inside"]
        assert session.result.parent_session == ambient


def test_the_innermost_session_of_its_own_recorder_takes_a_call(tmp_path: Path) -> None:
    """Else the innermost of any: one block covers store, model and tools."""

    class Notes:
        def put(self, content: str) -> str:
            return content

    with replaykit.Recorder(tmp_path / "a.rpk") as first, replaykit.Recorder(tmp_path / "b.rpk") as second:
        notes = first.wrap(Notes())
        with first.session() as outer_session, second.session() as inner_session:
            notes.put("own recorder")
            look("nobody's own")
        assert [action.kind for action in outer_session.result.actions] == ["put"]
        assert [action.kind for action in inner_session.result.actions] == ["find"]
        with second.session() as only:
            notes.put("innermost of any")
        assert [action.kind for action in only.result.actions] == ["put"]


def test_an_exception_in_the_block_passes_and_the_session_is_kept(recorder: Any) -> None:
    with pytest.raises(ZeroDivisionError), recorder.session("broken"):
        look("before")
        raise ZeroDivisionError
    session = recorder.get_session("broken")
    assert (session.state, session.ended_by, len(session.actions)) == ("sealed", "exception", 1)


def test_blocks_left_out_of_order_leave_the_context_clean(tmp_path: Path) -> None:
    """Two fixtures torn down in the wrong order: afterwards no ended session stands in the way."""
    with replaykit.Recorder(tmp_path / "a.rpk") as first, replaykit.Recorder(tmp_path / "b.rpk") as second:
        one, two = first.session(), second.session()
        one.__enter__()
        two.__enter__()
        one.__exit__(None, None, None)
        look("second")
        two.__exit__(None, None, None)
        assert (len(one.result.actions), len(two.result.actions)) == (0, 1)
        look("outside of any")
        assert (one.result.late, two.result.late) == (0, 0)
        with first.session() as third, ThreadPoolExecutor(1) as pool:
            pool.submit(look, "adopted").result()
        assert len(third.result.actions) == 1
