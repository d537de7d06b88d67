"""Two writers, a forked child, and readers while somebody writes (G9, G10, G11)."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from effort import Figure

import replaykit
from replaykit.errors import LockedError
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.testing.contracts import make_part
from replaykit.testing.files import TracedFiles

Effort = Callable[[int], int]


@replaykit.records("find")
def look(query: str) -> list[str]:
    return [query.upper()]


def in_children(*works: Callable[[], Any]) -> list[Any]:
    """Return what each of *works* returns, in a forked child of its own; all run at once."""
    readers, children = [], []
    for work in works:
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            # Newer Pythons warn about a fork while threads run, as one does here.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            _answer(work, writer)
        os.close(writer)
        readers.append(reader)
        children.append(child)
    answers = []
    for reader, child in zip(readers, children, strict=True):
        with open(reader, "rb") as pipe:
            answers.append(json.loads(pipe.read()))
        os.waitpid(child, 0)
    return answers


def _answer(work: Callable[[], Any], writer: int) -> None:
    try:
        os.write(writer, json.dumps(work()).encode())
    finally:
        os._exit(0)


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# -- G9 ------------------------------------------------------------------------------------------


class CountedLocks(SystemFiles):
    """The disk, which counts how often somebody tries to lock."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts = 0

    def lock(self, handle: int, *, shared: bool = False) -> bool:
        self.attempts += 1
        return super().lock(handle, shared=shared)


def test_g9_a_second_writer_is_refused_at_once(tmp_path: Path, figure: Figure) -> None:
    """It tries the lock once and changes nothing."""
    store = FileStore(tmp_path / "runs.rpk")
    store.publish(make_part(UUID(int=1), range(3)))
    before = bytes_in(tmp_path)
    counted = CountedLocks()
    traced = TracedFiles(counted)
    begun = time.perf_counter()
    with pytest.raises(LockedError):
        FileStore(tmp_path / "runs.rpk", files=traced)
    took_ms = (time.perf_counter() - begun) * 1e3
    assert (counted.attempts, traced.steps) == (1, [])
    assert bytes_in(tmp_path) == before
    store.close()
    figure("G9", f"refused after one attempt, {took_ms:.1f} ms")


def contend(path: Path, session: int, holding: Callable[[], None]) -> bool:
    """Try to write a session; return whether this writer was the one."""
    try:
        store = FileStore(path)
    except LockedError:
        holding()
        return False
    with closing(store):
        # The other one is refused before this one lets go.
        holding()
        store.publish(make_part(UUID(int=session)))
    return True


def race_of_threads(path: Path) -> list[bool]:
    start, tried, won = threading.Barrier(2), threading.Barrier(2), [False, False]

    def run(number: int) -> None:
        start.wait()
        won[number] = contend(path, number + 1, tried.wait)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def race_of_processes(path: Path) -> list[bool]:
    pipes = [os.pipe() for _ in range(2)]

    def run(number: int) -> bool:
        def meet() -> None:
            os.write(pipes[1 - number][1], b".")
            os.read(pipes[number][0], 1)

        meet()
        return contend(path, number + 1, meet)

    won = in_children(lambda: run(0), lambda: run(1))
    for pipe in pipes:
        for end in pipe:
            os.close(end)
    return won


def test_g9_of_two_writers_that_race_one_wins(tmp_path: Path, effort: Effort, figure: Figure) -> None:
    """For a new file and for one that is there; it holds what the winner wrote and nothing else."""
    races = max(12, effort(1_000))
    for number in range(races):
        path = tmp_path / f"{number}.rpk"
        is_old = number % 4 >= 2
        if is_old:
            with closing(FileStore(path)) as store:
                store.publish(make_part(UUID(int=9)))
        won = race_of_threads(path) if number % 2 else race_of_processes(path)
        assert sorted(won) == [False, True]
        with closing(FileStore(path, read_only=True)) as store:
            assert store.verify()
            written = [card.session_id.int for card in store.cards()]
        assert written == [9] * is_old + [won.index(True) + 1]
        path.unlink()
    figure("G9", f"{races} races of threads and processes: one winner each, the file whole")


# -- G10 ---------------------------------------------------------------------------------------------


def test_g10_a_fork_leaves_the_parents_recording_alone(tmp_path: Path, effort: Effort, figure: Figure) -> None:
    """The child's calls run and are counted; no byte of the parent's files changes, and its lock holds."""
    forks = max(12, effort(1_000))
    folder = tmp_path / "store"
    folder.mkdir()
    with replaykit.Recorder(folder / "runs.rpk", durability="os", on_loss="raise") as recorder:

        def work() -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answers = [look("in the child") for _ in range(3)]
            counted = recorder.stats()["forked"]
            recorder.close()
            return [answers, counted]

        with recorder.session("parent") as session:
            for number in range(forks):
                look(f"{number}")
                before = bytes_in(folder)
                assert in_children(work) == [[[["IN THE CHILD"]] * 3, 3]]
                assert bytes_in(folder) == before
            with pytest.raises(LockedError):
                FileStore(folder / "runs.rpk")
        queries = [action.arguments["query"] for action in session.result.actions]
        assert queries == [f"{number}" for number in range(forks)]
        assert (session.result.state, session.result.lost) == ("sealed", 0)
        assert recorder.stats()["forked"] == 0
    figure("G10", f"{forks} forks: every call of a child counted, no byte of the parent's changed")


# -- G11 ---------------------------------------------------------------------------------------------

WRITES = """
    import sys
    import replaykit

    @replaykit.records("find")
    def look(query):
        return [query.upper()]

    # A line is leave to do so much more.
    with replaykit.Recorder("runs.rpk", durability="os", on_loss="raise") as recorder:
        while True:
            with recorder.session() as session:
                for turn in range(12):
                    if not sys.stdin.readline():
                        sys.exit()
                    for number in range(5):
                        look(f"{turn * 5 + number}")
                    if turn % 5 == 4:
                        recorder.store.compact()
"""


class Watcher:
    """Reads a store again and again, and holds each look against the last one."""

    def __init__(self) -> None:
        self._lengths: dict[UUID, int] = {}
        self._ended: set[UUID] = set()
        self.compared = 0

    def look(self, recording: Any) -> None:
        summaries = recording.list_sessions()
        listed = {summary.session_id for summary in summaries}
        assert self._lengths.keys() <= listed, "a session is gone"
        # What has ended and was read in full once is only listed from then on.
        for summary in summaries:
            if summary.session_id in self._ended:
                assert summary.state == "sealed"
            else:
                self._read(recording.get_session(summary.session_id))

    def _read(self, session: Any) -> None:
        actions = list(session.actions)
        assert [action.arguments["query"] for action in actions] == [f"{number}" for number in range(len(actions))]
        assert all(action.output == [action.arguments["query"].upper()] for action in actions)
        assert len(actions) >= self._lengths.get(session.session_id, 0), "a session is shorter than it was"
        self._lengths[session.session_id] = len(actions)
        self.compared += len(actions)
        if session.state == "sealed":
            assert len(actions) == 60
            self._ended.add(session.session_id)


def test_g11_readers_see_prefixes_that_only_grow(tmp_path: Path, effort: Effort, figure: Figure) -> None:
    """One that stays open and one that is opened anew, while a process records and compacts."""
    rounds = max(60, effort(6_000))
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITES)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    assert writer.stdin is not None and writer.stderr is not None
    with closing(_begun(writer, tmp_path)) as staying:
        stays, comes = Watcher(), Watcher()
        until = time.monotonic() + 120
        for number in itertools.count():
            if number < rounds:
                writer.stdin.write(b"\n")
                writer.stdin.flush()
            elif min(stays.compared, comes.compared) > rounds or time.monotonic() > until:
                # The writer may be behind: what it was told to write is looked at, too.
                break
            stays.look(staying)
            with replaykit.load(tmp_path / "runs.rpk") as fresh:
                comes.look(fresh)
    writer.stdin.close()
    with writer.stderr as said:
        told = said.read().decode()
    assert writer.wait() == 0, told
    assert stays.compared > rounds and comes.compared > rounds
    figure("G11", f"{rounds} rounds of two readers, {stays.compared + comes.compared} actions read: never backwards")


def _begun(writer: subprocess.Popen[bytes], folder: Path) -> Any:
    """Return a reader of the store, once there is one."""
    while True:
        assert writer.poll() is None, writer.stderr and writer.stderr.read()
        try:
            return replaykit.load(folder / "runs.rpk")
        except (replaykit.errors.StoreNotFoundError, replaykit.errors.NotAStoreError):
            os.sched_yield()
