"""Ctrl-C at any line of a write: the next one works or says that it does not, and no lock stays held (G24)."""

from __future__ import annotations

import linecache
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any
from uuid import UUID

import pytest
from effort import Figure

from replaykit.errors import StorageError
from replaykit.storage.appending import Appender
from replaykit.storage.file_store import FileStore
from replaykit.storage.guard import Guard
from replaykit.storage.listing import Listing
from replaykit.storage.log_files import FileLog
from replaykit.storage.syncing import SharedSync
from replaykit.testing.contracts import make_part
from replaykit.testing.files import FaultyFiles, GuardedFiles, MemoryFiles

STORE = "runs.rpk"
FIRST, SECOND, THIRD = (UUID(int=number) for number in (1, 2, 3))


def codes_of(*classes: type) -> set[CodeType]:
    found = set()
    for each in classes:
        for name, value in vars(each).items():
            if name in ("__init__", "__del__", "__repr__"):
                continue
            function = value.fget if isinstance(value, property) else value
            if hasattr(function, "__code__"):
                found.add(function.__code__)
    return found


WRITING = codes_of(FileStore, Appender, Guard, Listing, FileLog, SharedSync)


class Interrupter:
    """
    Raises KeyboardInterrupt at line number *at* of the traced functions.

    The end of a with statement is left out: the interpreter looks for signals
    at calls and jumps, and there is none between its last statement and the
    release of a lock that is no Python code.
    """

    def __init__(self, at: int) -> None:
        self._left = at
        self._entered: set[tuple[int, int]] = set()
        self.where = ""

    def run(self, action: Callable[[], Any]) -> bool:
        """Do *action*; return whether it was interrupted."""
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            action()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False

    def _called(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code not in WRITING:
            return None
        self._step(frame)
        return self._line

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line" and not self._leaves_with(frame):
            self._step(frame)
        return self._line

    def _leaves_with(self, frame: FrameType) -> bool:
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        place = id(frame), frame.f_lineno
        if not line.startswith("with "):
            return False
        if place in self._entered:
            return True
        self._entered.add(place)
        return False

    def _step(self, frame: FrameType) -> None:
        self._left -= 1
        if self._left == -1:
            self.where = f"{frame.f_code.co_qualname}, line {frame.f_lineno}"
            raise KeyboardInterrupt


def in_another_thread(action: Callable[[], Any]) -> Any:
    """Do *action* in a thread, which must not be kept waiting by a lock that somebody left held."""
    said: list[Any] = []
    thread = threading.Thread(target=lambda: said.append(action()), daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert said, "another thread waits for a lock that is left held"
    return said[0]


def sequences(store: FileStore, session_id: UUID) -> list[int]:
    return [entry["i"] for entry in store.read(session_id).actions()]


def publish_interrupted(at: int) -> bool:
    """Publish with an interrupt; return whether it came to it."""
    disk = MemoryFiles()
    guard = GuardedFiles(disk)
    store = FileStore(STORE, files=guard)
    store.publish(make_part(FIRST, range(2)))
    interrupter = Interrupter(at)
    interrupted = interrupter.run(lambda: store.publish(make_part(SECOND, range(3), state=None)))
    try:
        in_another_thread(store.cards)
        assert _goes_on(store) or store.is_poisoned
        store.close()
        reopened = FileStore(STORE, files=GuardedFiles(disk, guard.watermarks))
        assert reopened.verify(), reopened.verify().problems
        assert sequences(reopened, FIRST) == [0, 1]
        assert store.is_poisoned or sequences(reopened, SECOND) == [0, 1, 2]
        assert guard.violations == []
    except BaseException as error:
        error.add_note(f"interrupted at {interrupter.where}")
        raise
    return interrupted


def _goes_on(store: FileStore) -> bool:
    """Publish once more what may have come to nothing, and more; False if the store says that it cannot."""
    try:
        store.publish(make_part(SECOND, range(3), state=None))
        store.publish(make_part(THIRD, range(1)))
    except StorageError:
        return False
    assert sequences(store, SECOND) == [0, 1, 2]
    (card,) = [card for card in store.cards() if card.session_id == SECOND]
    assert card.action_count == 3
    return True


def test_g24_an_interrupt_anywhere_in_publish_leaves_a_store_that_works_or_says_so(figure: Figure) -> None:
    at = 0
    while publish_interrupted(at):
        at += 1
    assert at > 50
    figure("G24", f"publish: {at} lines, 0 broken, 0 locks held")


def append_interrupted(at: int, **faults: Any) -> bool:
    disk = MemoryFiles()
    log = FileLog(FaultyFiles(GuardedFiles(disk), **faults), STORE, UUID(int=7), align=8)
    log.create()
    log.append(b"before..")
    log.sync()

    def act() -> None:
        log.append(b"during..")
        log.sync()
        log.append_end(b"end.....")
        log.sync()

    interrupter = Interrupter(at)
    interrupted = interrupter.run(act)
    try:
        in_another_thread(lambda: (log.append(b"after..."), log.sync()))
        kept = log.read(0, log.size)
        assert kept.startswith(b"before..") and kept.endswith(b"after...")
        assert disk.durable(log.path) == kept
    except BaseException as error:
        error.add_note(f"interrupted at {interrupter.where}")
        raise
    log.close()
    assert disk.open_handles == 0
    return interrupted


@pytest.mark.parametrize("faults", [{}, {"short": True, "fail_at": 1}], ids=["well", "short write"])
def test_g24_an_interrupt_anywhere_in_a_log_leaves_it_usable(faults: dict[str, Any], figure: Figure) -> None:
    at = 0
    while append_interrupted(at, **faults):
        at += 1
    assert at > 20
    figure("G24", f"log: {at} lines, 0 broken, 0 locks held")
