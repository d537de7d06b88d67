"""The interpreter's exit, in every way there is."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import replaykit


def run_script(body: str, folder: Path) -> subprocess.CompletedProcess[str]:
    head = """
        import sys, threading, replaykit
        recorder = replaykit.Recorder("runs.rpk")

        @replaykit.records("find")
        def look(query):
            return [query]

    """
    source = textwrap.dedent(head) + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", source], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("body", "code", "ended_by"),
    [
        ("recorder.start_session('s'); look('a')", 0, "exit"),
        ("handle = recorder.session('s'); handle.__enter__(); look('a')", 0, "exit"),
        ("recorder.start_session('s'); look('a'); raise KeyError('x')", 1, "exit"),
        ("with recorder.session('s'):\n    look('a')\n    sys.exit(3)", 3, "exception"),
        (
            "def work():\n    look('a')\n    sys.exit(3)\n"
            "recorder.start_session('s')\nthread = threading.Thread(target=work)\nthread.start()\nthread.join()",
            0,
            "exit",
        ),
    ],
    ids=["open", "open block", "error", "sys.exit in a block", "sys.exit in a thread"],
)
def test_an_open_session_is_sealed_when_the_interpreter_exits(
    body: str, code: int, ended_by: str, tmp_path: Path
) -> None:
    done = run_script(body, tmp_path)
    assert done.returncode == code, done.stderr
    session = replaykit.load(tmp_path / "runs.rpk").get_session("s")
    assert (session.state, session.ended_by, len(session.actions)) == ("sealed", ended_by, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["runs.rpk"]


def test_a_call_in_the_last_moments_of_the_interpreter_just_runs(tmp_path: Path) -> None:
    """Finalisers of module globals run after everything is sealed: they count as late and hurt nobody."""
    done = run_script(
        """
        class Closing:
            def __del__(self):
                look("too late")
                print("done")

        keep = Closing()
        recorder.start_session("s")
        look("a")
        """,
        tmp_path,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
    assert "Traceback" not in done.stderr
    assert len(replaykit.load(tmp_path / "runs.rpk").get_session("s").actions) == 1


def test_who_records_while_the_interpreter_goes_down_loses_nothing(tmp_path: Path) -> None:
    """
    A SIGTERM handler that records and exits, while daemon threads record on.

    Handlers registered after the session's begin are part of it; in earlier
    ones its calls are late, and a session of their own is recovered later.
    """
    done = run_script(
        """
        import atexit, signal
        sys.setswitchinterval(0.0001)
        returned = []

        def earlier():
            look("earlier")
            recorder.start_session("too late")
            look("in a session of its own")

        def later():
            look("later")
            print(len(returned), flush=True)

        def terminate(*_):
            look("terminate")
            sys.exit(7)

        def work():
            begun.release()
            while True:
                look("daemon")
                returned.append(1)

        atexit.register(earlier)
        recorder.start_session("s")
        atexit.register(later)
        signal.signal(signal.SIGTERM, terminate)
        begun = threading.Semaphore(0)
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
            begun.acquire()
        signal.raise_signal(signal.SIGTERM)
        """,
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (7, "")
    with replaykit.Recorder(tmp_path / "runs.rpk") as recorder:
        session, recovered = recorder.get_session("s"), recorder.get_session("too late")
    texts = [action.arguments["query"] for action in session.actions]
    assert (session.state, session.ended_by, session.lost) == ("sealed", "exit", 0)
    assert [action.sequence for action in session.actions] == list(range(len(texts)))
    assert texts.count("daemon") >= int(done.stdout)
    assert (texts.count("terminate"), texts.count("later"), texts.count("earlier")) == (1, 1, 0)
    assert recovered.state == "interrupted"
    assert "in a session of its own" in [action.arguments["query"] for action in recovered.actions]
