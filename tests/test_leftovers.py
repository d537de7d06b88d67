"""What a crash left is recovered behind the opening, and nobody reads the store without it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.errors import StorageError, UsageError
from replaykit.format.entries import Part
from replaykit.recording.leftovers import Leftovers
from replaykit.storage.directory_store import DirectoryStore
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.storage.pausing import no_pause
from replaykit.storage.recovery import recover

CALLS = 300
STORES = ["runs.rpk", "runs/", "notes.mv"]

VICTIM = f"""
import os, signal, sys
import replaykit

@replaykit.records("tool")
def say(number: int) -> str:
    return "said " * number

for store in sys.argv[1:]:
    recorder = replaykit.Recorder(store)
    recorder.start_session("crashed")
    for number in range({CALLS}):
        say(number)
    recorder._engine._open.clear()
    replaykit.intercept.scope.CURRENT.set(None)
os.kill(os.getpid(), signal.SIGKILL)
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(replaykit.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def crashed_stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of each kind, whose writer was killed in a session of as many calls."""
    folder = tmp_path_factory.mktemp("crashed")
    ended = run(VICTIM, *(f"{folder}/{store}" for store in STORES))
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return folder


@pytest.fixture
def crashed(crashed_stores: Path, tmp_path: Path) -> Callable[[str], str]:
    """Return a function that gives the path of a crashed store of one's own."""
    shutil.copytree(crashed_stores, tmp_path / "crashed")
    return lambda store: f"{tmp_path}/crashed/{store}"


def logs_in(store: str) -> list[Path]:
    folder = Path(store) if store.endswith("/") else Path(store).parent
    return [path for path in folder.glob("*.live") if store.endswith("/") or path.name.startswith(Path(store).name)]


def demand_recovered(session: Any) -> None:
    assert (session.state, session.name, len(session.actions)) == ("interrupted", "crashed", CALLS)
    assert [action.arguments for action in session.actions] == [{"number": number} for number in range(CALLS)]


class Readings:
    """Counts the bytes of live logs that each thread reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: str) -> None:
        self.by_thread: dict[int, int] = {}
        inodes = {path.stat().st_ino for path in logs_in(store)}
        assert inodes
        read = SystemFiles.pread

        def counted(files: SystemFiles, handle: int, size: int, offset: int) -> bytes:
            data = read(files, handle, size, offset)
            if os.fstat(handle).st_ino in inodes:
                thread = threading.get_ident()
                self.by_thread[thread] = self.by_thread.get(thread, 0) + len(data)
            return data

        monkeypatch.setattr(SystemFiles, "pread", counted)

    @property
    def here(self) -> int:
        return self.by_thread.get(threading.get_ident(), 0)


# -- who waits and who does not -----------------------------------------------------


@pytest.mark.parametrize("kind", STORES)
def test_g14_opening_and_recording_do_not_wait_for_the_recovery(
    kind: str, crashed: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that opens the store and records into it reads no byte of what a crash left."""
    store = crashed(kind)
    readings = Readings(monkeypatch, store)
    recorder = replaykit.Recorder(store)
    with recorder.session("next") as session:
        session.record("tool", name="note", output="recorded at once")
    assert readings.here == 0

    recorder.close()
    assert readings.by_thread
    assert logs_in(store) == []
    with replaykit.load(store) as recording:
        assert {summary.name for summary in recording.list_sessions()} == {"crashed", "next"}
        demand_recovered(recording.get_session("crashed"))
        assert recording.verify()


READERS: dict[str, Callable[[replaykit.Recorder], Any]] = {
    "list": lambda recorder: recorder.get_session(recorder.list_sessions(state="interrupted")[0]),
    "get": lambda recorder: recorder.get_session("crashed"),
    "last": lambda recorder: recorder.get_session("last"),
    "store": lambda recorder: recorder.store.verify() and recorder.get_session(recorder.store.cards()[0].session_id),
    "flush": lambda recorder: recorder.flush() or recorder.get_session("crashed"),
}


@pytest.mark.parametrize("reader", list(READERS))
@pytest.mark.parametrize("kind", STORES)
def test_whoever_reads_finds_all_of_it_recovered(kind: str, reader: str, crashed: Callable[[str], str]) -> None:
    store = crashed(kind)
    with replaykit.Recorder(store) as recorder:
        demand_recovered(READERS[reader](recorder))
        assert logs_in(store) == []


@pytest.mark.parametrize("kind", STORES)
def test_a_crashed_session_is_resumed_right_after_opening(kind: str, crashed: Callable[[str], str]) -> None:
    with replaykit.Recorder(crashed(kind)) as recorder:
        recorder.resume_session("crashed")
        session = recorder.end_session()
        assert (session.state, len(session.actions)) == ("sealed", CALLS)


@pytest.mark.parametrize("kind", STORES)
def test_a_crashed_session_is_deleted_right_after_opening(kind: str, crashed: Callable[[str], str]) -> None:
    """It is not open any more, and it does not come back."""
    store = crashed(kind)
    with replaykit.Recorder(store) as recorder:
        recorder.delete_session("crashed")
        assert recorder.list_sessions() == []
    with replaykit.Recorder(store) as recorder:
        assert recorder.list_sessions() == []


@pytest.mark.parametrize("kind", STORES)
def test_threads_that_read_at_once_all_wait(kind: str, crashed: Callable[[str], str]) -> None:
    """Some of them open the store, some find it open."""
    store = crashed(kind)
    barrier = threading.Barrier(6)
    found: list[Any] = []

    def read(recorder: replaykit.Recorder) -> None:
        barrier.wait()
        found.append(recorder.get_session("crashed"))

    recorders = [replaykit.Recorder(store) for _ in range(2)]
    threads = [threading.Thread(target=read, args=(recorders[number % 2],)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    for session in found:
        demand_recovered(session)
    for recorder in recorders:
        recorder.close()


# -- the end of the process ---------------------------------------------------------


@pytest.mark.parametrize("kind", STORES)
def test_a_process_that_ends_right_after_opening_leaves_nothing_undone(
    kind: str, crashed: Callable[[str], str]
) -> None:
    store = crashed(kind)
    code = "import sys, replaykit; replaykit.Recorder(sys.argv[1]).start_session('short')"
    ended = run(code, store)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert logs_in(store) == []
    with replaykit.load(store) as recording:
        demand_recovered(recording.get_session("crashed"))
        assert recording.get_session("short").ended_by == "exit"


@pytest.mark.parametrize("kind", STORES)
def test_a_process_that_is_killed_right_after_opening_loses_nothing(kind: str, crashed: Callable[[str], str]) -> None:
    store = crashed(kind)
    code = (
        "import os, signal, sys, replaykit; replaykit.Recorder(sys.argv[1]).start_session('killed');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    for _ in range(2):
        assert run(code, store).returncode == -signal.SIGKILL
    with replaykit.Recorder(store) as recorder:
        demand_recovered(recorder.get_session("crashed"))
        assert len(recorder.list_sessions(name="killed", state="interrupted")) == 2


def test_a_forked_child_leaves_the_recovery_to_its_parent(crashed: Callable[[str], str]) -> None:
    """It holds no lock on what its parent recovers, so that others go on should the parent be killed."""
    store = FileStore(crashed("runs.rpk"))
    (log,) = logs = store.logs()
    leftovers = Leftovers(store)
    assert leftovers.find()
    (mine,) = leftovers._waiting[0]
    assert mine.claim()
    told, tell = os.pipe()
    over, end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        leftovers.abandon()
        os.write(tell, b"abandoned")
        os.read(over, 1)
        os._exit(0)
    assert os.read(told, 9) == b"abandoned"
    assert not log.claim()
    mine.close()
    assert log.claim()
    log.close()
    os.close(end)
    os.waitpid(child, 0)
    for handle in (told, tell, over):
        os.close(handle)
    leftovers.recover(no_pause)
    assert [log.size for log in logs] == [0]
    store.close()


def test_after_a_fork_the_parent_recovers_and_the_child_goes_on(crashed: Callable[[str], str]) -> None:
    store = crashed("runs/")
    recorder = replaykit.Recorder(store)
    recorder.start_session("parent")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with replaykit.Recorder(store) as own, own.session("child"):
                pass
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    recorder.end_session()
    demand_recovered(recorder.get_session("crashed"))
    assert {summary.name for summary in recorder.list_sessions()} == {"crashed", "parent", "child"}
    recorder.close()


def test_a_session_that_another_process_recovers_is_interrupted_and_not_resumed(crashed: Callable[[str], str]) -> None:
    """Nobody takes the recovery for the session's writer, and nobody goes on with what it is just publishing."""
    store = crashed("runs/")
    with closing(DirectoryStore(store)) as elsewhere:
        (log,) = elsewhere.logs()
        assert log.claim()
        with replaykit.Recorder(store) as recorder, replaykit.load(store) as recording:
            demand_recovered(recorder.get_session("crashed"))
            demand_recovered(recording.get_session("crashed"))
            with pytest.raises(StorageError, match="is publishing it"):
                recorder.resume_session("crashed")
            log.close()
            assert recover(elsewhere) == 1
            recorder.resume_session("crashed")
            assert len(recorder.end_session().actions) == CALLS


# -- what stands in the way ---------------------------------------------------------


def test_processes_that_open_a_directory_at_once_recover_it_once(crashed: Callable[[str], str]) -> None:
    store = crashed("runs/")
    code = (
        "import sys, replaykit\n"
        "recorder = replaykit.Recorder(sys.argv[1])\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "with recorder.session('mine'): pass\n"
        "print(len(recorder.get_session('crashed').actions), len(recorder.list_sessions(name='crashed')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(replaykit.__file__).parents[1])}
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", code, store],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )
        for _ in range(3)
    ]  # fmt: skip
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    assert [opener.communicate()[0] for opener in openers] == [f"{CALLS} 1\n"] * 3
    with replaykit.Recorder(store) as recorder:
        demand_recovered(recorder.get_session("crashed"))
        assert len(recorder.list_sessions()) == 4
        assert recorder.store.verify()


@pytest.mark.parametrize("kind", STORES)
def test_a_store_that_is_full_of_what_a_crash_left_has_room_once_it_is_recovered(
    kind: str, crashed: Callable[[str], str]
) -> None:
    """In parts it takes a fraction of what it took in its log."""
    store = crashed(kind)
    (log,) = logs_in(store)
    with replaykit.Recorder(store, max_store_bytes=log.stat().st_size) as recorder:
        with recorder.session("next") as session:
            session.record("tool", name="note", output="there is room")
        assert session.result is not None
        assert (session.result.state, session.result.ended_by) == ("sealed", "block")
        demand_recovered(recorder.get_session("crashed"))


class Interrupted(FileStore):
    """A store in whose publishing Ctrl-C comes once."""

    is_due = True

    def publish(self, part: Part, *, published_ns: int = 0) -> None:
        if self.is_due:
            self.is_due = False
            raise KeyboardInterrupt
        super().publish(part, published_ns=published_ns)


def test_a_recovery_that_is_interrupted_is_done_by_the_next_reader(crashed: Callable[[str], str]) -> None:
    """And its log does not look like a living writer's meanwhile."""
    with closing(Interrupted(crashed("runs.rpk"))) as store:
        (log,) = store.logs()
        leftovers = Leftovers(store)
        assert leftovers.find()
        with pytest.raises(KeyboardInterrupt):
            leftovers.recover(no_pause)
        assert log.claim()
        log.close()
        assert leftovers
        leftovers.recover(no_pause)
        assert not leftovers
        assert [card.state for card in store.cards()] == ["interrupted"]
        assert logs_in(store.location) == []


def test_what_cannot_be_recovered_is_read_from_its_log(
    crashed: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that takes no part costs no reader and no opening anything; the next opening tries again."""
    store = crashed("runs.rpk")

    def refuse(self: FileStore, part: Part, *, published_ns: int = 0) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(FileStore, "publish", refuse)
        with replaykit.Recorder(store) as recorder:
            demand_recovered(recorder.get_session("crashed"))
    assert logs_in(store)
    with replaykit.Recorder(store) as recorder:
        demand_recovered(recorder.get_session("crashed"))
    assert logs_in(store) == []


def test_a_store_that_is_closed_before_its_recovery_leaves_it_to_the_next(crashed: Callable[[str], str]) -> None:
    store = crashed("runs.rpk")
    opened = FileStore(store)
    leftovers = Leftovers(opened)
    assert leftovers.find()
    opened.close()
    leftovers.recover(no_pause)
    assert not leftovers
    with replaykit.Recorder(store) as recorder:
        demand_recovered(recorder.get_session("crashed"))
        with pytest.raises(UsageError):
            recorder.get_session("another")
