"""A server that forks its workers: each has a file of its own in the directory; no call is lost, none is foreign."""

from __future__ import annotations

import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable

import pytest
from concurrency.calls import demand_pairs, outer

import replaykit

WORKERS, THREADS, CALLS = 4, 3, 20


def forked(work: Callable[[], None]) -> int:
    """Run *work* in a forked child that ends at once behind it; return its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def test_forked_workers_record_side_by_side() -> None:
    """Forked inside the parent's session, they end without a word (no exit handler runs), and nothing is missing."""
    with replaykit.Recorder("runs/", on_loss="raise") as recorder:

        def request(worker: int, thread: int) -> None:
            with recorder.session(f"{worker}/{thread}"):
                for call in range(CALLS):
                    outer(f"{worker}/{thread}/{call}")

        def serve(worker: int) -> None:
            threads = [threading.Thread(target=request, args=(worker, number)) for number in range(THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        with recorder.session("parent", adopt=False):
            outer("parent")
            children = [forked(lambda worker=worker: serve(worker)) for worker in range(WORKERS)]
            assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * WORKERS
    store = replaykit.load("runs/")
    names = {f"{worker}/{thread}" for worker in range(WORKERS) for thread in range(THREADS)}
    assert {summary.name for summary in store.list_sessions()} == names | {"parent"}
    for name in names:
        session = store.get_session(name)
        demand_pairs(session, CALLS)
        assert session.state == "sealed"
        texts = [action.arguments["text"] for action in session.actions if action.parent is None]
        assert {text.rpartition("/")[0] for text in texts} == {name}
    demand_pairs(store.get_session("parent"), 1)


@pytest.mark.parametrize("how", ["SIGTERM", "os._exit"])
def test_a_worker_that_ends_without_a_word_keeps_what_it_recorded(how: str) -> None:
    """No exit handler runs, in the middle of a session: interrupted, with every call that had returned."""
    reader, writer = os.pipe()
    with replaykit.Recorder("runs/") as recorder:

        def serve() -> None:
            with recorder.session("stopped"):
                for call in range(CALLS):
                    outer(str(call))
                os.write(writer, b"x")
                if how == "os._exit":
                    os._exit(7)
                signal.pause()

        child = forked(serve)
        assert os.read(reader, 1) == b"x"
        if how == "SIGTERM":
            os.kill(child, signal.SIGTERM)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == (7 if how == "os._exit" else -signal.SIGTERM)
    with replaykit.Recorder("runs/") as recorder:
        session = recorder.get_session("stopped")
        assert session.state == "interrupted"
        demand_pairs(session, CALLS)
