"""Signal handlers, interrupts and finalisers come in the middle of anything."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from concurrency.calls import look, outer

import replaykit
from replaykit.intercept.scope import CURRENT
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles


@replaykit.records("tool")
def words() -> Iterator[str]:
    yield "first"
    yield "second"


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
        recorder._engine.lease.opened = FileStore(tmp_path / "runs.rpk", files=files)
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


@pytest.mark.parametrize("left", ["a call", "a generator"])
def test_finalisers_that_come_while_the_context_is_written_leave_it_whole(recorder: Any, left: str) -> None:
    """The collector may come within ``ContextVar.set``, and a finaliser set it too: CPython 3.11 reads freed memory."""
    other: contextvars.ContextVar[int] = contextvars.ContextVar("other")

    class Calling:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            look("finaliser")

    def left_behind() -> None:
        if left == "a call":
            Calling()
            return
        steps = words()
        itself = [steps, next(steps)]
        itself.append(itself)

    def record() -> int:
        other.set(1)
        whole = 0
        with recorder.session():
            # The allocation that brings the collector is another one each time.
            for number in range(200):
                left_behind()
                look(str(number))
                copied = contextvars.copy_context()
                whole += CURRENT in copied and other in copied and len(copied) == len(list(copied))
        return whole

    thresholds = gc.get_threshold()
    gc.set_threshold(37)
    try:
        # In a context of its own: one that is damaged stays so.
        assert contextvars.Context().run(record) == 200
    finally:
        gc.set_threshold(*thresholds)


COLLECTING = """
import gc, select, signal
import replaykit

class TimesOut(Exception):
    pass

def handler(*_):
    raise TimesOut

signal.signal(signal.SIGALRM, handler)
with replaykit.session(store=":memory:"):
    kept = [[] for _ in range(400_000)]
    try:
        # It comes long before so many objects have been looked at.
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        gc.collect()
        # On a machine that is faster it comes now.
        select.select([], [], [], 5)
    except TimesOut:
        print("heard")
"""


def test_a_signal_that_comes_while_garbage_is_collected_reaches_the_program() -> None:
    """
    What the collector calls must not be where Python looks for signals: it drops what their handlers raise.

    In a program of its own, since Hypothesis has the collector call a function.
    """
    done = subprocess.run([sys.executable, "-c", COLLECTING], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("heard\n", "")


def test_an_interrupt_in_the_recording_reaches_the_user(tmp_path: Path) -> None:
    """Ctrl-C while an action is being written: it passes, and the action is kept as unfinished."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    files = InterruptedFiles()
    with replaykit.Recorder(tmp_path / "runs.rpk", on_loss="raise") as recorder:
        recorder._engine.lease.opened = FileStore(tmp_path / "runs.rpk", files=files)
        with on_signal(signal.SIGUSR1, interrupt), recorder.session() as session:
            look("before")
            files.signals = 1
            with pytest.raises(KeyboardInterrupt):
                look("interrupted")
            look("after")
        actions = session.result.actions
        assert [action.arguments["query"] for action in actions] == ["before", "interrupted", "after"]
        assert ["unfinished" in action.flags for action in actions] == [False, True, False]
