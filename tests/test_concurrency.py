"""Whose call is it: threads, tasks, generators, signals and finalisers, and none of them loses a call."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.errors import NoActiveSessionError, ReplaykitWarning, SessionActiveError
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles


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
def count_to(limit: int) -> Iterator[int]:
    yield from range(limit)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Any]:
    with replaykit.Recorder(tmp_path / "runs.rpk", on_loss="raise") as recorder:
        yield recorder


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


def session_of(recorder: Any, handle: Any) -> Any:
    return recorder.get_session(handle.id)


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


# -- starting, ending, coming late ------------------------------------------------------


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


# -- generators ---------------------------------------------------------------------------


def test_a_generator_keeps_the_session_of_its_first_step(recorder: Any, tmp_path: Path) -> None:
    with replaykit.Recorder(tmp_path / "other.rpk") as other:
        with recorder.session(adopt=False) as first:
            numbers = count_to(3)
            next(numbers)
            with other.session() as second:
                assert list(numbers) == [1, 2]
        assert [action.output for action in first.result.actions] == [[0, 1, 2]]
        assert len(second.result.actions) == 0


def test_the_scope_of_a_generator_never_leaks_into_its_consumer(recorder: Any) -> None:
    """What the consumer calls between two items is no child of the generator; what the generator calls is."""

    @replaykit.records("tool")
    def stream() -> Iterator[str]:
        for word in ("a", "b"):
            look(f"inside {word}")
            yield word

    with recorder.session() as session:
        for word in stream():
            look(f"consumer {word}")
    actions = {next(iter(action.arguments.values()), "stream"): action for action in session.result.actions}
    assert actions["inside a"].parent == actions["inside b"].parent == actions["stream"].sequence
    assert actions["consumer a"].parent is None and actions["consumer b"].parent is None


def test_the_scope_of_an_async_generator_never_leaks_into_its_consumer(recorder: Any) -> None:
    @replaykit.records("tool")
    async def stream() -> AsyncIterator[str]:
        for word in ("a", "b"):
            await look_async(f"inside {word}")
            yield word

    async def main() -> Any:
        async with recorder.session() as session:
            async for word in stream():
                await look_async(f"consumer {word}")
        return session.result

    actions = {next(iter(action.arguments.values()), "stream"): action for action in asyncio.run(main()).actions}
    assert actions["inside b"].parent == actions["stream"].sequence
    assert actions["consumer b"].parent is None


def test_a_session_around_a_generator_is_closed_from_anywhere(recorder: Any) -> None:
    """A decorated generator that the collector closes, in another context, ends its session and hurts no other."""

    @recorder.session("in a generator")
    def words() -> Iterator[str]:
        look("first")
        yield "a"
        yield "b"

    items = words()
    next(items)
    with recorder.session("around") as around:
        contextvars.copy_context().run(items.close)
        look("around")
    assert [action.arguments["query"] for action in around.result.actions] == ["around"]
    assert recorder.get_session("in a generator").state == "sealed"


# -- signals, finalisers, the interpreter's exit ----------------------------------------------


class InterruptedFiles(SystemFiles):
    """A disk on which a signal arrives in the middle of each append to a live log."""

    def __init__(self) -> None:
        super().__init__()
        self.append = self._append  # type: ignore[method-assign]
        self.signals = 0

    def _append(self, handle: int, data: bytes) -> int:
        if self.signals:
            self.signals -= 1
            signal.raise_signal(signal.SIGUSR1)
        return os.write(handle, data)


@contextlib.contextmanager
def on_signal(number: int, handler: Callable[[], Any]) -> Iterator[None]:
    before = signal.signal(number, lambda *_: handler())
    try:
        yield
    finally:
        signal.signal(number, before)


def test_a_signal_handler_may_make_a_recorded_call_during_an_append(tmp_path: Path) -> None:
    files = InterruptedFiles()
    with replaykit.Recorder(tmp_path / "runs.rpk", on_loss="raise") as recorder:
        recorder._engine._store = FileStore(tmp_path / "runs.rpk", files=files)
        with on_signal(signal.SIGUSR1, lambda: look("in the handler")), recorder.session() as session:
            for _ in range(20):
                files.signals = 3
                look("interrupted")
        actions = session.result.actions
        assert Counter(action.arguments["query"] for action in actions)["interrupted"] == 20
        assert [action.sequence for action in actions] == list(range(len(actions)))
        assert len(actions) == 80


def test_a_storm_of_signals_loses_no_call(recorder: Any) -> None:
    handled = []

    def handler() -> None:
        look("storm")
        handled.append(1)

    with on_signal(signal.SIGALRM, handler), recorder.session() as session:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            calls = 0
            while len(handled) < 50:
                outer(str(calls))
                calls += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    texts = Counter(next(iter(action.arguments.values())) for action in session.result.actions)
    assert texts["storm"] == len(handled)
    assert len(session.result.actions) == 2 * calls + len(handled)
    assert session.result.lost == 0


def test_a_finaliser_may_make_a_recorded_call(recorder: Any) -> None:
    class Closing:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            look("finaliser")

    with recorder.session() as session:
        for number in range(200):
            Closing()
            look(str(number))
        gc.collect()
    texts = Counter(action.arguments["query"] for action in session.result.actions)
    assert (texts["finaliser"], len(texts)) == (200, 201)


def run_script(body: str, folder: Path) -> subprocess.CompletedProcess[str]:
    head = """
        import sys, threading, replaykit
        recorder = replaykit.Recorder("runs.rpk")

        @replaykit.records("find")
        def look(query):
            return [query]

    """
    source = textwrap.dedent(head) + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", source], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("body", "code", "ended_by"),
    [
        ("recorder.start_session('s'); look('a')", 0, "exit"),
        ("handle = recorder.session('s'); handle.__enter__(); look('a')", 0, "exit"),
        ("recorder.start_session('s'); look('a'); raise KeyError('x')", 1, "exit"),
        ("with recorder.session('s'):\n    look('a')\n    sys.exit(3)", 3, "exception"),
        (
            "def work():\n    look('a')\n    sys.exit(3)\n"
            "recorder.start_session('s')\nthread = threading.Thread(target=work)\nthread.start()\nthread.join()",
            0,
            "exit",
        ),
    ],
    ids=["open", "open block", "error", "sys.exit in a block", "sys.exit in a thread"],
)
def test_an_open_session_is_sealed_when_the_interpreter_exits(
    body: str, code: int, ended_by: str, tmp_path: Path
) -> None:
    done = run_script(body, tmp_path)
    assert done.returncode == code, done.stderr
    session = replaykit.load(tmp_path / "runs.rpk").get_session("s")
    assert (session.state, session.ended_by, len(session.actions)) == ("sealed", ended_by, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["runs.rpk"]


def test_a_call_in_the_last_moments_of_the_interpreter_just_runs(tmp_path: Path) -> None:
    """Finalisers of module globals run after everything is sealed: they count as late and hurt nobody."""
    done = run_script(
        """
        class Closing:
            def __del__(self):
                look("too late")
                print("done")

        keep = Closing()
        recorder.start_session("s")
        look("a")
        """,
        tmp_path,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
    assert "Traceback" not in done.stderr
    assert len(replaykit.load(tmp_path / "runs.rpk").get_session("s").actions) == 1


def test_an_interrupt_in_the_recording_reaches_the_user(tmp_path: Path) -> None:
    """Ctrl-C while an action is being written: it passes, and the action is kept as unfinished."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    files = InterruptedFiles()
    with replaykit.Recorder(tmp_path / "runs.rpk", on_loss="raise") as recorder:
        recorder._engine._store = FileStore(tmp_path / "runs.rpk", files=files)
        with on_signal(signal.SIGUSR1, interrupt), recorder.session() as session:
            look("before")
            files.signals = 1
            with pytest.raises(KeyboardInterrupt):
                look("interrupted")
            look("after")
        actions = session.result.actions
        assert [action.arguments["query"] for action in actions] == ["before", "interrupted", "after"]
        assert ["unfinished" in action.flags for action in actions] == [False, True, False]
