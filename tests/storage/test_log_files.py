"""Live logs: nothing appended is lost, and a living writer's log is nobody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from uuid import uuid4

import pytest

import replaykit.errors
from replaykit.errors import LockedError, StorageError
from replaykit.storage.files import SystemFiles
from replaykit.storage.log_files import FileLog, MemoryLog, logs_beside


def created(path: Path, files: SystemFiles | None = None) -> FileLog:
    log = FileLog(files or SystemFiles(), str(path), uuid4())
    log.create()
    return log


def test_records_of_threads_stay_whole_and_in_their_order(tmp_path: Path) -> None:
    """Without a lock: each record is one write."""
    log = created(tmp_path / "a.rpk")
    barrier = threading.Barrier(4)

    def append_all(name: int) -> None:
        barrier.wait()
        for number in range(500):
            log.append(b"%d:%06d\n" % (name, number))

    threads = [threading.Thread(target=append_all, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = log.read(0, log.size).splitlines()
    assert len(lines) == 2000
    for name in range(4):
        assert [b"%d:%06d" % (name, number) for number in range(500)] == [
            line for line in lines if line.startswith(b"%d:" % name)
        ]
    log.remove()


def test_what_was_appended_survives_kill_9(tmp_path: Path) -> None:
    """And the log of the dead can be claimed, once."""
    code = (
        "import signal, sys; from uuid import UUID\n"
        "from replaykit.storage.files import SystemFiles\n"
        "from replaykit.storage.log_files import FileLog\n"
        "log = FileLog(SystemFiles(), sys.argv[1], UUID(int=5)); log.create()\n"
        "for n in range(1000): log.append(b'%06d' % n)\n"
        "print('ready', flush=True); signal.pause()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a.rpk")],
        stdout=subprocess.PIPE,
        cwd=Path(replaykit.errors.__file__).parents[1],
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    (log,) = logs_beside(SystemFiles(), str(tmp_path / "a.rpk"))
    assert log.has_writer()
    assert not log.claim()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()

    assert not log.has_writer()
    assert log.claim()
    (other,) = logs_beside(SystemFiles(), str(tmp_path / "a.rpk"))
    assert not other.claim()
    # What is being recovered is nobody's recording.
    assert not other.has_writer()
    assert b"".join(b"%06d" % n for n in range(1000)) == log.read(0, log.size)
    log.remove()
    assert not other.claim()
    assert other.size == 0


def test_a_session_has_one_log(tmp_path: Path) -> None:
    """While its writer lives, and until it is recovered."""
    log = created(tmp_path / "a.rpk")
    again = FileLog(SystemFiles(), str(tmp_path / "a.rpk"), log.session_id)
    with pytest.raises(LockedError):
        again.create()
    log.close()
    with pytest.raises(StorageError, match="recover"):
        again.create()
    assert again.claim()
    again.remove()
    again.create()
    again.remove()


def test_a_log_that_a_recovery_takes_for_a_dead_one_is_made_again(tmp_path: Path) -> None:
    """Between its creation and its lock it looks like a dead writer's; what is appended must not go to a lost file."""

    class Recovered(SystemFiles):
        left = 2

        def lock(self, handle: int, *, shared: bool = False) -> bool:
            if self.left:
                self.left -= 1
                (other,) = logs_beside(SystemFiles(), str(tmp_path / "a.rpk"))
                assert other.claim()
                other.remove()
            return super().lock(handle, shared=shared)

    log = created(tmp_path / "a.rpk", Recovered())
    log.append(b"kept")
    (found,) = logs_beside(SystemFiles(), str(tmp_path / "a.rpk"))
    assert (found.has_writer(), found.read(0, 9)) == (True, b"kept")
    log.remove()


def test_logs_of_other_stores_are_not_ours(tmp_path: Path) -> None:
    """Names are compared whole."""
    ours = created(tmp_path / "a.rpk")
    others = [created(tmp_path / name) for name in ("aa.rpk", "a.rpk.b", "a")]
    found = logs_beside(SystemFiles(), str(tmp_path / "a.rpk"))
    assert [ours.session_id] == [log.session_id for log in found]
    for log in (ours, *others):
        log.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    """A short write is tried again with the whole record; then the caller hears of it."""

    class Full(SystemFiles):
        room = 10

        def append(self, handle: int, data: bytes) -> int:
            piece = data[: self.room]
            self.room -= len(piece)
            return os.write(handle, piece)

    log = created(tmp_path / "a.rpk", Full())
    log.append(b"123456")
    with pytest.raises(OSError, match="whole"):
        log.append(b"abcdef")
    assert log.read(0, 100) == b"123456abcd"
    log.remove()


def test_a_child_that_abandons_a_log_leaves_it_to_its_parent(tmp_path: Path) -> None:
    """The parent's lock stays."""
    log = created(tmp_path / "a.rpk")
    child = os.fork()
    if child == 0:
        log.abandon()
        os._exit(0)
    os.waitpid(child, 0)
    (found,) = logs_beside(SystemFiles(), str(tmp_path / "a.rpk"))
    assert found.has_writer()
    log.append(b"on")
    log.sync()
    assert found.read(0, 9) == b"on"
    log.remove()


def test_programs_that_we_start_see_no_log(tmp_path: Path) -> None:
    """Descriptors close on exec."""
    log = created(tmp_path / "a.rpk")
    assert not os.get_inheritable(log.descriptor)
    log.remove()


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    """Neither at creation nor at claim."""
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    session_id = uuid4()
    log = FileLog(SystemFiles(), str(tmp_path / "a.rpk"), session_id)
    os.symlink(target, log.path)
    for ask in (log.create, log.claim):
        with pytest.raises(OSError):
            ask()
    assert target.read_bytes() == b"precious"


def test_a_log_in_ram_keeps_the_same_promises() -> None:
    """Appended, read in pieces, claimed once closed, gone once removed."""
    log = MemoryLog(uuid4())
    log.append(b"abc")
    log.append(b"def")
    log.sync()
    assert (log.read(2, 2), log.size, log.has_writer(), log.claim()) == (b"cd", 6, True, False)
    log.close()
    assert (log.has_writer(), log.claim()) == (False, True)
    log.remove()
    assert (log.size, log.removed) == (0, True)


def test_a_log_whose_folder_is_gone_is_a_typed_error(tmp_path: Path) -> None:
    log = FileLog(SystemFiles(), str(tmp_path / "gone" / "runs.rpk"), uuid4())
    with pytest.raises(StorageError, match="its folder is gone"):
        log.create()
