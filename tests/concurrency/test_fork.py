"""After a fork the child's calls run and are counted; the parent's session is its own."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import replaykit
from replaykit.errors import LockedError
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles


@replaykit.records("find")
def look(query: str) -> list[str]:
    return [query.upper()]


def in_child(work: Callable[[], Any]) -> Any:
    """Return what *work* returns in a forked child."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Newer Pythons warn about a fork while threads run, as one does here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        answer: Any = {"failed": "nothing came back"}
        try:
            answer = {"result": work()}
        except BaseException:
            answer = {"failed": traceback.format_exc()}
        finally:
            os.write(writer, json.dumps(answer).encode())
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(child, 0)
    assert "failed" not in answer, answer["failed"]
    return answer["result"]


@contextmanager
def idle_child() -> Iterator[None]:
    """Have a forked child meanwhile that does nothing, as a worker without work."""
    child_waits, parent_ends = os.pipe()
    parent_waits, child_is_there = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(parent_ends)
        os.write(child_is_there, b"!")
        os.read(child_waits, 1)
        os._exit(0)
    try:
        os.read(parent_waits, 1)
        yield
    finally:
        for end in (child_waits, parent_ends, parent_waits, child_is_there):
            os.close(end)
        os.waitpid(child, 0)


def queries(session: Any) -> list[str]:
    return [action.arguments["query"] for action in session.actions]


@pytest.mark.parametrize("store", ["runs.rpk", "runs/", "notes.mv", ":memory:"])
def test_a_forked_childs_calls_run_are_counted_and_warned_about_once(store: str) -> None:
    with replaykit.Recorder(store) as recorder:

        def work() -> Any:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                results = [look("in the child") for _ in range(3)]
            return [results, recorder.stats()["forked"], [str(each.message) for each in caught], recorder.is_recording]

        with recorder.session() as session:
            look("before")
            results, counted, messages, is_recording = in_child(work)
            look("after")
        assert results == [["IN THE CHILD"]] * 3
        assert (counted, len(messages), is_recording) == (3, 1, False)
        assert "directory store" in messages[0]
        assert queries(session.result) == ["before", "after"]
        assert (session.result.state, session.result.lost, session.result.late) == ("sealed", 0, 0)
        assert recorder.stats()["forked"] == 0


def test_a_child_of_an_adopted_thread_is_counted_too() -> None:
    """The thread has no context of its own; its calls were adopted, and so the child's are missed."""
    import threading

    with replaykit.Recorder("runs.rpk") as recorder:
        counted = []

        def work() -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                look("in the child")
            return recorder.stats()["forked"]

        with recorder.session():
            thread = threading.Thread(target=lambda: counted.append(in_child(work)))
            thread.start()
            thread.join()
        assert counted == [1]


def test_a_call_that_ran_at_the_fork_is_finished_by_the_parent_only() -> None:
    with replaykit.Recorder("runs.rpk", on_loss="raise") as recorder:

        @replaykit.records("tool")
        def forks() -> str:
            child = os.fork()
            if child == 0:
                return "child"
            os.waitpid(child, 0)
            return "parent"

        with recorder.session() as session, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if forks() == "child":
                os._exit(0)
        [action] = session.result.actions
        assert (action.output, action.flags) == ("parent", frozenset())


def test_a_directory_store_gives_the_child_a_file_of_its_own() -> None:
    with replaykit.Recorder("runs/") as recorder:
        with recorder.session("parent") as session:
            look("parent")

            def work() -> Any:
                with recorder.session("child") as inside:
                    look("child")
                assert inside.result is not None
                seen = [summary.name for summary in recorder.list_sessions(state="sealed")]
                return [queries(inside.result), seen]

            assert in_child(work) == [["child"], ["child"]]
        assert [summary.name for summary in recorder.list_sessions()] == ["child", "parent"]
        assert queries(recorder.get_session("parent")) == ["parent"]
        assert session.result.state == "sealed"
    assert len(list(Path("runs").glob("*.rpk"))) == 2


def test_a_memory_file_takes_sessions_of_a_child() -> None:
    with replaykit.open("notes.mv") as memory:
        memory.put("one")

        def work() -> Any:
            with replaykit.open("notes.mv") as own, own.session("child"):
                own.find("one")
            return True

        with memory.session("parent"):
            memory.put("two")
            assert in_child(work)
            memory.put("three")
        assert [summary.name for summary in memory.list_sessions()] == ["child", "parent"]
        assert [action.kind for action in memory.get_session("parent").actions] == ["put", "put"]


def test_a_store_file_tells_the_child_what_to_do() -> None:
    """One writing process per file: the error names the process that has it and the way out."""
    with replaykit.Recorder("runs.rpk") as recorder:
        with recorder.session() as session:
            look("parent")

            def work() -> Any:
                try:
                    recorder.start_session("child")
                except LockedError as error:
                    return str(error)

            message = in_child(work)
        assert "runs.rpk" in message and "directory" in message
        assert queries(session.result) == ["parent"]


def test_a_child_that_ends_normally_leaves_the_parents_session_open() -> None:
    """Exit handlers run in a child of multiprocessing as well: they must not seal what is the parent's."""
    with replaykit.Recorder("runs/") as recorder, recorder.session() as session:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for method in ("fork", "spawn"):
                context = multiprocessing.get_context(method)
                child = context.Process(target=_child_of_multiprocessing)
                child.start()
                child.join()
                assert child.exitcode == 0
        assert recorder.is_recording
        look("parent")
        assert recorder.get_session(session.id).state == "open"
    assert queries(replaykit.load("runs/").get_session("last")) == ["parent"]
    by_name = {summary.name: summary for summary in replaykit.load("runs/").list_sessions(name="own")}
    assert by_name["own"].action_count == 1


def _child_of_multiprocessing() -> None:
    assert look("child") == ["CHILD"]
    with replaykit.session("own", store="runs/"):
        look("own")


def test_a_child_of_multiprocessing_seals_what_it_leaves_open() -> None:
    """Of the interpreter's handlers a forked one runs none; its sessions end behind its threads all the same."""
    child = multiprocessing.get_context("fork").Process(target=_leaves_sessions_open)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    child.join()
    assert child.exitcode == 3
    with replaykit.load("runs/") as runs, replaykit.load("other.rpk") as other:
        sessions = [runs.get_session("left open"), other.get_session("elsewhere")]
    assert [(session.state, session.ended_by) for session in sessions] == [("sealed", "exit")] * 2
    # Before Python 3.13 its own handlers run before the threads are through.
    assert [sorted(queries(session)) for session in sessions] == [["at exit", "behind main", "main"], ["other"]]
    assert [(session.lost, session.late) for session in sessions] == [(0, 0)] * 2


def _leaves_sessions_open() -> None:
    import threading
    from multiprocessing import util

    def thread() -> None:
        threading.main_thread().join()
        look("behind main")

    util.Finalize(None, look, args=("at exit",), exitpriority=0)
    elsewhere = replaykit.Recorder("other.rpk").session("elsewhere")
    elsewhere.__enter__()
    look("other")
    left_open = replaykit.Recorder("runs/").session("left open")
    left_open.__enter__()
    look("main")
    threading.Thread(target=left_open.carry(thread)).start()
    KEPT.extend([elsewhere, left_open])
    sys.exit(3)


KEPT: list[Any] = []
"""What is not to be collected before its process ends."""


def test_a_fork_while_threads_record_hurts_neither_side() -> None:
    """Other threads may hold any lock of ours at the moment of the fork; the child starts with fresh ones."""
    import threading

    stop, calls = threading.Event(), threading.Semaphore(0)

    def work() -> Any:
        with replaykit.session("child", store="runs/") as inside:
            look("child")
        assert inside.result is not None
        return queries(inside.result)

    def record() -> None:
        while not stop.is_set():
            look("parent")
            calls.release()

    with replaykit.Recorder("runs/", on_loss="raise") as recorder:
        with recorder.session() as session:
            threads = [threading.Thread(target=record) for _ in range(3)]
            for thread in threads:
                thread.start()
            for _ in range(3):
                calls.acquire()
                assert in_child(work) == ["child"]
            stop.set()
            for thread in threads:
                thread.join()
        assert set(queries(session.result)) == {"parent"}
        sequences = [action.sequence for action in session.result.actions]
        assert sequences == list(range(len(sequences)))


# -- what a child has no use for -----------------------------------------------------


@pytest.mark.parametrize("store", ["runs.rpk", "runs/", "notes.mv"])
def test_an_idle_child_keeps_nobody_from_opening_the_store_again(store: str) -> None:
    """It has a copy of each descriptor, and with it of each lock: it lets go of both as it begins."""
    recorder = replaykit.Recorder(store)
    session = recorder.session("first", adopt=False)
    with session:
        look("one")
        with idle_child():
            look("two")
            recorder.close()
            with replaykit.Recorder(store, on_loss="raise") as again:
                with again.session("second"):
                    look("three")
                listed = [(summary.name, summary.state, summary.action_count) for summary in again.list_sessions()]
    assert listed == [("first", "sealed", 2), ("second", "sealed", 1)]


def test_an_idle_child_of_a_killed_service_keeps_no_session_from_its_recovery(tmp_path: Path) -> None:
    """An orphan may live for days: who starts the service again finds store and log free."""
    program = """
        import os, signal, sys, replaykit

        @replaykit.records("find")
        def look(query):
            return [query.upper()]

        recorder = replaykit.Recorder("runs.rpk")
        with recorder.session("killed"):
            look("one")
            waits, ready = os.pipe()
            child = os.fork()
            if child == 0:
                os.write(ready, b"!")
                signal.pause()
            os.read(waits, 1)
            print(child, flush=True)
            look("two")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    service = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, cwd=tmp_path
    )
    assert service.stdout is not None
    with service.stdout as said:
        orphan = int(said.readline())
    assert service.wait() == -signal.SIGKILL
    try:
        with replaykit.Recorder(tmp_path / "runs.rpk") as recorder:
            session = recorder.get_session("killed")
            assert (session.state, queries(session)) == ("interrupted", ["one", "two"])
        assert list(tmp_path.glob("*.live")) == []
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_an_idle_child_keeps_no_session_that_could_not_be_published(tmp_path: Path) -> None:
    """Its log is held until it is published; the child's copy of that goes, too."""

    class Failing(SystemFiles):
        is_well = True

        def sync(self, handle: int) -> None:
            if not self.is_well:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            super().sync(handle)

    files, path = Failing(), tmp_path / "runs.rpk"
    recorder: Any = replaykit.Recorder(path)
    recorder._engine.lease.opened = FileStore(path, files=files)
    files.is_well = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with recorder.session("failed"):
            look("one")
        recorder.flush()
    with idle_child():
        recorder.close()
        with replaykit.Recorder(path) as again:
            assert queries(again.get_session("failed")) == ["one"]
        assert list(tmp_path.glob("*.live")) == []


def test_a_child_takes_no_lock_from_its_parent(tmp_path: Path) -> None:
    """Letting go is no unlocking: file and log stay the parent's."""
    with closing(FileStore(tmp_path / "runs.rpk")) as store:
        log = store.create_log(UUID(int=1))
        with idle_child():
            with pytest.raises(LockedError):
                FileStore(tmp_path / "runs.rpk")
            assert log.has_writer()
            log.append(b"record")
        assert in_child(lambda: log.descriptor) == -1
        log.remove()
