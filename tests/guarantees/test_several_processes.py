"""Several processes on one memory: each write is kept, readers see whole generations, nobody waits without end."""

from __future__ import annotations

import multiprocessing
import os
import stat
import threading

import pytest

import replaykit
from replaykit.errors import LockedError
from replaykit.memory.engine import Engine

PROCESSES = 4
WRITES = 5
START = multiprocessing.get_context("spawn")


def write(path, barrier, who):
    barrier.wait()
    with replaykit.open(path) as mv, mv.session(who):
        for number in range(WRITES):
            mv.put(f"{who} {number}")
            assert mv.find(who)


def read(path, barrier, told):
    barrier.wait()
    with Engine(path, read_only=True) as memory:
        while True:
            snapshot, _ = memory.snapshot(with_ids=True)
            if len(snapshot.frame_ids) != snapshot.frame_count or snapshot.frame_count != snapshot.generation:
                told.put((len(snapshot.frame_ids), snapshot.frame_count, snapshot.generation))
                return
            if snapshot.frame_count == PROCESSES * WRITES + 1:
                told.put(None)
                return


def started(target, *args):
    process = START.Process(target=target, args=args)
    process.start()
    return process


def ended(processes):
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def test_a_new_memory_may_be_opened_by_all_at_once(tmp_path):
    path = str(tmp_path / "notes.mv")
    barrier = START.Barrier(PROCESSES)

    codes = ended([started(write, path, barrier, f"w{number}") for number in range(PROCESSES)])
    assert codes == [0] * PROCESSES
    with replaykit.open(path) as mv:
        assert len(mv) == mv.generation == PROCESSES * WRITES
        assert sorted(session.action_count for session in mv.list_sessions()) == [2 * WRITES] * PROCESSES
        assert mv.find("w3", k=100).hits


def test_readers_see_whole_generations(tmp_path):
    path = str(tmp_path / "notes.mv")
    with Engine(path) as memory:
        memory.put("first")
    barrier, told = START.Barrier(PROCESSES + 1), START.Queue()
    reader = started(read, path, barrier, told)

    assert ended([started(write, path, barrier, f"w{number}") for number in range(PROCESSES)]) == [0] * PROCESSES
    assert told.get(timeout=60) is None
    assert ended([reader]) == [0]


def test_threads_may_open_a_new_memory_at_once(tmp_path):
    path = str(tmp_path / "notes.mv")
    barrier = threading.Barrier(PROCESSES)
    failed = []

    def work():
        barrier.wait()
        try:
            with Engine(path) as memory:
                memory.put("x")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with Engine(path) as memory:
        assert len(memory) == PROCESSES


def test_a_writer_waits_for_another_and_then_gives_up(tmp_path, monkeypatch):
    monkeypatch.setattr("replaykit.storage.database.BUSY_TIMEOUT_MS", 50)
    path = str(tmp_path / "notes.mv")
    with Engine(path) as slow, Engine(path) as other:
        with slow.connection.writing(), pytest.raises(LockedError):
            other.put("x")
        other.put("x")
        assert len(slow) == 1


@pytest.mark.parametrize("umask", [0, 0o077])
def test_every_file_of_a_memory_is_private(tmp_path, umask):
    before = os.umask(umask)
    try:
        with replaykit.open(tmp_path / "notes.mv") as mv, mv.session():
            mv.put("x")
            mv.fork(tmp_path / "branch.mv").close()
            with replaykit.open(tmp_path / "branch.mv") as branch:
                branch.put("y")
                modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert {"notes.mv", "notes.mv-wal", "notes.mv-shm", "branch.mv", "branch.mv-wal"} <= modes.keys()
    assert set(modes.values()) == {0o600}
