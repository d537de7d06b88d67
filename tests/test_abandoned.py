"""Sessions of a process that is gone, for one that was there before: deleted, erased and resumed like any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import replaykit
from replaykit.errors import SessionNotFoundError, StorageError

SECRET = "a-word-that-is-nowhere-else"

VICTIM = f"""
import os, signal, sys
import replaykit

@replaykit.records("find")
def search(query):
    return [query]

recorder = replaykit.Recorder(sys.argv[1])
with recorder.session("victim"):
    search({SECRET!r})
    print("there", flush=True)
    if len(sys.argv) > 2:
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_one(store: str) -> None:
    """Have a process record a session into *store* and die in it."""
    environment = {**os.environ, "PYTHONPATH": str(Path(replaykit.__file__).parents[1])}
    ended = subprocess.run([sys.executable, "-c", VICTIM, store], env=environment, capture_output=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.mark.parametrize("erase", [False, True])
def test_it_is_deleted(tmp_path: Path, erase: bool) -> None:
    """Its log is recovered first."""
    with replaykit.Recorder(f"{tmp_path}/runs/") as admin:
        assert admin.list_sessions() == []
        kill_one(f"{tmp_path}/runs/")
        assert [each.state for each in admin.list_sessions()] == ["interrupted"]
        admin.delete_session("victim", erase=erase)

        assert admin.list_sessions() == []
        assert not list((tmp_path / "runs").glob("*.live"))
    if erase:
        assert not any(SECRET.encode() in path.read_bytes() for path in (tmp_path / "runs").iterdir())


def test_it_is_resumed(tmp_path: Path) -> None:
    """With what was in its log."""
    with replaykit.Recorder(f"{tmp_path}/runs/") as admin:
        admin.list_sessions()
        kill_one(f"{tmp_path}/runs/")
        admin.resume_session("victim")
        session = admin.end_session()

        assert (session.state, len(session.actions)) == ("sealed", 1)


def test_one_that_is_published_right_now_says_so(tmp_path: Path) -> None:
    """By another process, which has claimed its log."""
    with replaykit.Recorder(f"{tmp_path}/runs/") as admin:
        admin.list_sessions()
        kill_one(f"{tmp_path}/runs/")
        (log,) = admin._engine.lease.store.logs()
        assert log.claim()
        for act in (lambda: admin.delete_session("victim"), lambda: admin.resume_session("victim")):
            with pytest.raises(StorageError, match="is publishing it"):
                act()
        log.close()
        admin.delete_session("victim")

        assert admin.list_sessions() == []


def test_one_that_is_recorded_elsewhere_is_still_open(tmp_path: Path) -> None:
    """Nobody takes it away from who records it."""
    environment = {**os.environ, "PYTHONPATH": str(Path(replaykit.__file__).parents[1])}
    with (
        replaykit.Recorder(f"{tmp_path}/runs/") as admin,
        subprocess.Popen(
            [sys.executable, "-c", VICTIM, f"{tmp_path}/runs/", "waits"],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as victim,
    ):  # fmt: skip
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"there\n"
        with pytest.raises(SessionNotFoundError, match="still open"):
            admin.delete_session("victim")
        victim.kill()
