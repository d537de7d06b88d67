"""Signal handlers, interrupts and finalisers come in the middle of anything."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from concurrency.calls import look, outer

import replaykit
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles


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
