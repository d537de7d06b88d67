"""The secret of a store is whole or not there, one for all who ask, not made anew where hashes need the old one."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.errors import StorageError
from replaykit.storage.diagnosis import diagnose
from replaykit.storage.secret_key import key_path, keyed_hasher


def unused() -> bool:
    return False


def used() -> bool:
    return True


def hashed(path: Path, is_used: Callable[[], bool] = unused) -> bytes:
    return keyed_hasher(str(path), is_used=is_used)(b"1234")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.rpk"


@pytest.fixture
def key(path: Path) -> Path:
    return Path(key_path(str(path)))


def test_a_secret_is_made_once_and_is_private(path: Path, key: Path) -> None:
    """Nothing is left beside it."""
    first = hashed(path)

    assert first == hashed(path, used)
    found = key.stat()
    assert (found.st_size, stat.S_IMODE(found.st_mode), found.st_nlink) == (32, 0o600, 1)
    assert list(path.parent.iterdir()) == [key]


@pytest.mark.parametrize("threads_switch_often", [True, False])
def test_all_who_ask_at_once_get_one_secret(path: Path, threads_switch_often: bool) -> None:
    before = sys.getswitchinterval()
    if threads_switch_often:
        sys.setswitchinterval(1e-6)
    try:
        for number in range(20):
            store, barrier, found = path.with_name(f"{number}.rpk"), threading.Barrier(8), []

            def ask(store: Path, barrier: threading.Barrier, found: list[bytes]) -> None:
                barrier.wait()
                found.append(hashed(store))

            threads = [threading.Thread(target=ask, args=(store, barrier, found)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert (len(found), len(set(found))) == (8, 1)
    finally:
        sys.setswitchinterval(before)
    assert len(list(path.parent.iterdir())) == 20


def test_all_sessions_of_a_recorder_in_ram_get_one_secret() -> None:
    """It is in no file, where the others could find it."""
    recorder: Any = replaykit.Recorder(":memory:", capture="hash")
    engine, barrier, found = recorder._engine, threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        found.append(engine.lease.hasher(b"1234"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    recorder.close()


def test_processes_that_start_together_lose_nothing(tmp_path: Path) -> None:
    """Each of two makes its first call while the other does."""
    program = """
        import os, sys, replaykit

        me, other = sys.argv[1:]
        for number in range(30):
            recorder = replaykit.Recorder(f"{number}/", capture="hash", on_loss="raise")
            with recorder.session("s") as session:
                open(f"{number}.{me}", "w").close()
                while not os.path.exists(f"{number}.{other}"):
                    pass
                session.record("put", arguments={"content": "1234"})
            recorder.close()
    """
    workers = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), *names], cwd=tmp_path)
        for names in (("a", "b"), ("b", "a"))
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    for number in range(30):
        with replaykit.load(tmp_path / str(number)) as loaded:
            hashes = {loaded.get_session(each.session_id).actions[0].input_hash for each in loaded.list_sessions()}
        assert len(hashes) == 1
    assert not list(tmp_path.glob("*.new"))


def test_a_maker_that_is_killed_leaves_no_half_of_a_secret(path: Path, key: Path) -> None:
    """At each step: before it has its name there is none, and a second name is taken away by the next one."""
    program = """
        import os, signal, sys
        from replaykit.storage.secret_key import keyed_hasher

        def killing(step):
            def stop(*args):
                if step == "after":
                    real(*args)
                os.kill(os.getpid(), signal.SIGKILL)
            return stop

        what, when, path = sys.argv[1:]
        real = getattr(os, what)
        setattr(os, what, killing(when))
        keyed_hasher(path, is_used=lambda: False)
    """
    for what, when, is_there in (("link", "before", False), ("link", "after", True), ("unlink", "before", True)):
        maker = [sys.executable, "-c", textwrap.dedent(program), what, when, str(path)]
        assert subprocess.run(maker, check=False).returncode == -signal.SIGKILL
        assert (key.exists() and key.stat().st_size == 32) == is_there
        assert hashed(path, used) == hashed(path, used)
        assert list(path.parent.iterdir()) == [key]
        key.unlink()


@pytest.mark.parametrize("size", [0, 7, 31])
def test_a_secret_that_was_cut_short_is_replaced_where_nothing_needs_it(path: Path, key: Path, size: int) -> None:
    """As a full disk left it under an earlier release."""
    key.write_bytes(b"x" * size)
    assert hashed(path) == hashed(path, used)
    assert (key.stat().st_size, list(path.parent.iterdir())) == (32, [key])

    key.write_bytes(b"x" * size)
    with pytest.raises(StorageError, match="hashes were made with it"):
        hashed(path, used)
    assert key.stat().st_size == size


def test_a_disk_without_room_leaves_nothing_and_the_next_one_makes_it(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk."""
    program = """
        import resource, signal, sys
        from replaykit.errors import StorageError
        from replaykit.storage.secret_key import keyed_hasher

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), -1))
        try:
            keyed_hasher("runs.rpk", is_used=lambda: False)
        except StorageError:
            sys.exit(7)
    """
    for size in ("0", "16"):
        maker = [sys.executable, "-c", textwrap.dedent(program), size]
        assert subprocess.run(maker, check=False, cwd=tmp_path).returncode == 7
        assert list(tmp_path.iterdir()) == []
    assert hashed(tmp_path / "runs.rpk")


def record_hashes(path: Path, *, lost: int = 0) -> Any:
    with replaykit.Recorder(path, capture="hash", on_loss="ignore") as recorder:
        with recorder.session("s") as session:
            session.record("put", arguments={"content": "1234"})
    assert session.result.lost == lost
    return session.result


def test_a_recorder_knows_whether_hashes_need_the_secret(path: Path, key: Path) -> None:
    """An empty one is replaced before the first action whose hash was kept, and never after it."""
    key.mkdir()
    assert [action.flags for action in record_hashes(path, lost=1).actions] == [{"unfinished"}]
    key.rmdir()
    key.touch()
    os.chmod(key, 0o600)
    [action] = record_hashes(path).actions
    assert any(action.input_hash)
    os.truncate(key, 0)
    record_hashes(path, lost=1)
    assert key.stat().st_size == 0


def secrets_found(path: Path, key: Path) -> list[tuple[str, str]]:
    return [(each.severity, each.what) for each in diagnose(path).findings if each.where == str(key)]


def test_the_doctor_looks_at_the_secret(path: Path, key: Path) -> None:
    """Cut short, gone, or open to others; and touches nothing."""
    record_hashes(path)
    secret = key.read_bytes()
    assert secrets_found(path, key) == []

    os.truncate(key, 0)
    [(severity, what)] = secrets_found(path, key)
    assert severity == "warning" and "cut short" in what and "lost" in what
    assert key.stat().st_size == 0

    key.write_bytes(secret)
    os.chmod(key, 0o644)
    [(severity, what)] = secrets_found(path, key)
    assert severity == "warning" and "other users" in what

    key.unlink()
    [(severity, what)] = secrets_found(path, key)
    assert severity == "warning" and "gone" in what
    assert not key.exists()
