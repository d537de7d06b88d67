"""Workers of every kind that Python starts record into one directory: no call is missing, each session is sealed."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
from effort import Figure, effort

import replaykit

WORKERS = 4
CALLS = effort(2_000)
# Of the light run the start of fresh interpreters would be the most part.
METHODS = ["fork"] if effort(100) == 1 else ["fork", "spawn", "forkserver"]


@replaykit.records("find")
def look(query: str) -> list[str]:
    return [query.upper()]


def record(prefix: str, calls: int) -> None:
    """Record a session in a block, and then one that is left open; *calls* each."""
    recorder = replaykit.Recorder("runs/", on_loss="raise")
    with recorder.session(f"{prefix}block"):
        for call in range(calls):
            look(f"{prefix}block/{call}")
    begin(f"{prefix}left")
    for call in range(calls):
        look(f"{prefix}left/{call}")


def begin(name: str) -> None:
    replaykit.Recorder("runs/", on_loss="raise").start_session(name)


def begin_worker() -> None:
    begin(f"worker {os.getpid()}")


def sessions() -> list[Any]:
    """Return all sessions; each is whole and ended properly."""
    with replaykit.load("runs/") as store:
        found = [store.get_session(summary) for summary in store.list_sessions()]
        for session in found:
            assert (session.state, session.lost, session.late) == ("sealed", 0, 0)
            assert [action.sequence for action in session.actions] == list(range(len(session.actions)))
    return found


def queries(session: Any) -> list[str]:
    return [action.arguments["query"] for action in session.actions]


@pytest.mark.parametrize("method", METHODS)
def test_processes_record_side_by_side(method: str, figure: Figure) -> None:
    """What a process leaves open is sealed when it ends, also where no exit handler of the interpreter runs."""
    context: Any = multiprocessing.get_context(method)
    children = [context.Process(target=record, args=(f"{number}/", CALLS)) for number in range(WORKERS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for child in children:
            child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * WORKERS
    found = sessions()
    names = [f"{number}/{kind}" for number in range(WORKERS) for kind in ("block", "left")]
    assert sorted(session.name for session in found) == names
    for session in found:
        assert queries(session) == [f"{session.name}/{call}" for call in range(CALLS)]
        assert session.ended_by == ("exit" if session.name.endswith("left") else "block")
    figure("workers", f"{method}: {WORKERS} processes, {len(names) * CALLS:,} calls, 0 missing, all sessions sealed")


@pytest.mark.parametrize("method", METHODS)
def test_the_workers_of_a_pool_record_each_task_once(method: str, figure: Figure) -> None:
    """Each has one session for all its tasks, from its initializer to the end of the pool."""
    tasks = [str(number) for number in range(CALLS)]
    context: Any = multiprocessing.get_context(method)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with ProcessPoolExecutor(WORKERS, mp_context=context, initializer=begin_worker) as pool:
            assert list(pool.map(look, tasks)) == [[task] for task in tasks]
    found = sessions()
    assert 1 <= len(found) <= WORKERS
    assert {session.ended_by for session in found} == {"exit"}
    assert Counter(query for session in found for query in queries(session)) == Counter(tasks)
    figure("workers", f"{method}: a pool of {WORKERS}, {CALLS:,} tasks, each recorded once")
