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
