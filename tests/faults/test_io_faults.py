"""One file operation fails, once or from then on: nothing acknowledged is lost and the failure is told (G7, G23)."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from effort import Figure

import replaykit
from replaykit.errors import ReplaykitError
from replaykit.recording.background import background_of
from replaykit.storage.file_store import FileStore
from replaykit.storage.recovery import recover
from replaykit.testing.files import CHANGES, FaultyFiles, GuardedFiles, MemoryFiles

Effort = Callable[[int], int]

STORE = "runs.rpk"
FAULTS: list[dict[str, Any]] = [
    {"error": errno.ENOSPC},
    {"error": errno.EIO},
    {"error": errno.EDQUOT},
    {"error": errno.EINTR},
    {"short": True},
    {"torn": True, "error": errno.ENOSPC},
]


@replaykit.records("tool")
def shout(text: str) -> str:
    return text.upper()


class Rig:
    """
    A program on a disk that fails; ``is_armed`` says from when on.

    ``kept`` are the calls that were acknowledged, ``tried`` all; ``told`` is
    everything by which the program heard of a failure.
    """

    def __init__(self, start: MemoryFiles | None = None, **faults: Any) -> None:
        self.disk = MemoryFiles() if start is None else start.after_kill()
        self.guard = GuardedFiles(self.disk)
        self.faulty = FaultyFiles(self.guard, **faults)
        self.faulty.is_armed = False
        self.kept: set[str] = set()
        self.tried: set[str] = set()
        self.sent_away: set[str] = set()
        self.told: list[BaseException | str] = []
        self.recorder: Any = None

    def open(self) -> Any:
        """Return a recorder, the store of which is on the disk."""
        self.recorder = replaykit.Recorder(STORE, durability="always", on_loss="raise", redact=())
        self.recorder._engine.lease.opened = FileStore(STORE, files=self.faulty)
        recover(self.recorder._engine.lease.opened)
        return self.recorder

    def call(self, text: str) -> None:
        """Make a recorded call; what it returns is its own, whatever the disk does."""
        session = self.recorder._engine.active()
        lost = 0 if session is None else session.lost
        assert shout(text) == text.upper()
        self.tried.add(text)
        if session is not None and session.lost == lost:
            self.kept.add(text)
        else:
            self.told.append("lost")

    def hear(self, step: Callable[[], Any]) -> None:
        """Do something that may say that it failed, by a typed error and nothing else."""
        try:
            step()
        except ReplaykitError as error:
            self.told.append(error)

    def leave(self) -> None:
        """Close everything, as a program does that goes on without its disk."""
        store = self.recorder._engine.lease.opened
        if store is not None:
            self.hear(background_of(store).stop)
            if self.recorder.stats()["unpublished"]:
                self.told.append("unpublished")
            self.hear(self.recorder.close)
            self.hear(store.close)
        self.faulty.is_armed = False


def found_on(files: Any) -> dict[str, str]:
    """Return the calls that the next process finds, by text, and the state of their session."""
    store = FileStore(STORE, files=files)
    try:
        recover(store)
        assert store.verify(), store.verify().problems
        assert list(store.logs()) == []
        return {
            entry["in"]["text"]: card.state
            for card in store.cards()
            for entry in store.read(card.session_id).actions()
            if "in" in entry
        }
    finally:
        store.close()


# -- what the programs do -----------------------------------------------------------


def record(rig: Rig) -> None:
    rig.faulty.is_armed = True

    def run() -> None:
        with rig.open().session("recorded") as session:
            for number in range(4):
                rig.call(f"call {number}")
            rig.hear(lambda: session.annotate(more=1))
            rig.call("call 4")

    rig.hear(run)


def checkpoint(rig: Rig) -> None:
    recorder = rig.open()

    def run() -> None:
        with recorder.session("with checkpoints", auto_checkpoint=2) as session:
            rig.call("before")
            rig.faulty.is_armed = True
            rig.hear(session.checkpoint)
            for number in range(4):
                rig.call(f"call {number}")

    rig.hear(run)


def seal(rig: Rig) -> None:
    recorder = rig.open()

    def run() -> None:
        with recorder.session("sealed"):
            for number in range(4):
                rig.call(f"call {number}")
            rig.faulty.is_armed = True

    rig.hear(run)
    rig.hear(recorder.flush)


def delete(rig: Rig) -> None:
    recorder = rig.open()
    for name in ("goes", "stays"):
        with recorder.session(name):
            rig.call(name)
    recorder.flush()
    rig.faulty.is_armed = True
    rig.kept.remove("goes")
    rig.sent_away.add("goes")
    rig.hear(lambda: recorder.delete_session("goes"))


def recover_crashed(rig: Rig) -> None:
    rig.kept = {"call 0", "call 1", "call 2"}
    rig.tried = set(rig.kept)
    rig.faulty.is_armed = True
    rig.hear(rig.open)


def reopen(rig: Rig) -> None:
    rig.kept = {"call 0", "call 1"}
    rig.tried = set(rig.kept)
    rig.faulty.is_armed = True

    def run() -> None:
        recorder = rig.open()
        assert len(recorder.get_session("published").actions) == 2
        with recorder.session("second"):
            rig.call("call 2")

    rig.hear(run)


def crashed() -> MemoryFiles:
    """A disk whose writer was killed in the middle of a session, and of a record."""
    rig = Rig()
    rig.open().start_session("crashed")
    for number in range(3):
        rig.call(f"call {number}")
    disk = rig.disk.after_kill()
    rig.recorder.end_session()
    rig.leave()
    [log] = [path for path in disk.paths if path.endswith(".live")]
    disk.place(log, disk.contents(log) + b"rkL1 torn")
    return disk


def published() -> MemoryFiles:
    rig = Rig()
    with rig.open().session("published"):
        rig.call("call 0")
        rig.call("call 1")
    rig.leave()
    return rig.disk


PROGRAMS: dict[str, tuple[Callable[[Rig], None], Callable[[], MemoryFiles] | None]] = {
    "record": (record, None),
    "checkpoint": (checkpoint, None),
    "seal": (seal, None),
    "delete": (delete, None),
    "recover": (recover_crashed, crashed),
    "reopen": (reopen, published),
}
READS = frozenset({"open", "pread", "lock", "size", "names", "leads_to"})


def cases(program: Callable[[Rig], None], start: MemoryFiles | None) -> Iterator[dict[str, Any]]:
    """Yield each operation of the program with each fault."""
    for fault in FAULTS:
        for counted in (CHANGES, READS):
            if counted is READS and fault.keys() & {"short", "torn"}:
                continue
            clean = Rig(start, counted=counted, **fault)
            program(clean)
            clean.leave()
            assert clean.told == []
            for mode in ("once", "for_ever"):
                for at in range(clean.faulty.count):
                    yield {"fail_at": at, "mode": mode, "counted": counted, **fault}


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_g7_a_failing_operation_loses_nothing_acknowledged(name: str, effort: Effort, figure: Figure) -> None:
    """At every operation, with every error: what was acknowledged is there, and what is not was told."""
    program, prepare = PROGRAMS[name]
    start = None if prepare is None else prepare()
    everything = list(cases(program, start))
    chosen = random.Random(name).sample(everything, min(len(everything), effort(2_500)))
    for case in chosen:
        rig = Rig(start, **case)
        program(rig)
        rig.leave()
        try:
            demand_kept(rig)
        except BaseException as error:
            error.add_note(f"{name}: {case}, told {rig.told}")
            raise
    figure("G7", f"{name}: {len(chosen)} of {len(everything)} faults, 0 lost, 0 violations of G23")


def demand_kept(rig: Rig) -> None:
    for files in (rig.disk.after_kill(), rig.disk):
        guard = GuardedFiles(files, rig.guard.watermarks)
        found = found_on(guard)
        assert rig.kept <= found.keys() <= rig.tried
        assert guard.violations == []
        if found.keys() < rig.tried - rig.sent_away:
            assert rig.told, "something is missing and nobody was told"
    assert rig.guard.violations == []
