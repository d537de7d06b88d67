"""How verbs end: Ctrl-C, a reader that has gone, an output that is closed or speaks another encoding."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from cli.calling import called, recorded_store, run
from effort import some_of

import replaykit
from replaykit.cli import care
from replaykit.cli.commands import program
from replaykit.storage.compaction import demand_same


@pytest.fixture
def store(tmp_path: Path) -> str:
    return recorded_store(tmp_path)


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["list"], "replaykit.loading.load"),
        (["show"], "replaykit.loading.load"),
        (["verify"], "replaykit.loading.load"),
        (["info"], "replaykit.loading.load"),
        (["scan"], "replaykit.loading.load"),
        (["doctor"], "replaykit.loading.diagnosed"),
        (["compact"], "replaykit.storage.opening.open_store"),
    ],
)
def test_ctrl_c_is_130_and_one_line(words: list[str], where: str, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In all verbs: 1 is what a check says that failed."""

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupt)
    said = run(*words, store)

    assert said.exit_code == 130
    assert said.stderr.splitlines() == ["replaykit: interrupted"]


def test_ctrl_c_at_a_question_is_130_and_no_is_1(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is deleted either way."""
    monkeypatch.setattr(care, "_demand_consent", lambda *_, **__: click.confirm("Delete?", abort=True))

    assert run("delete", store, "last", told="n\n").exit_code == 1

    def interrupt(_prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(click.termui, "visible_prompt_func", interrupt)
    monkeypatch.setattr(
        care, "_demand_consent", lambda *_, **__: click.confirm("Delete?", abort=True, prompt_suffix="")
    )
    with pytest.raises(SystemExit) as ended:
        program.main(["delete", store, "last"], standalone_mode=False)
    assert ended.value.code == 130
    assert len(replaykit.load(store).list_sessions()) == 1


_TELLS_THAT_IT_WAITS = """
import signal, sys, time
# A shell starts what runs in its background with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
pause = time.sleep
def sleep(seconds):
    print("waiting", flush=True)
    pause(seconds)
time.sleep = sleep
sys.argv = ["replaykit", "tail", "--wait", "nosuch.rpk"]
from replaykit.cli import main
main()
"""


def test_an_interrupted_process_ends_with_130() -> None:
    """Without a traceback, however it is started."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _TELLS_THAT_IT_WAITS]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"waiting\n"
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)

    assert child.returncode == 130
    assert b"Traceback" not in said


def test_an_interrupted_compaction_leaves_no_copy(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the store as it was."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = Path(store).read_bytes()
    monkeypatch.setattr("replaykit.storage.compaction.demand_same", interrupt)
    assert run("compact", store).exit_code == 130

    assert os.listdir(tmp_path) == ["runs.rpk"]
    assert Path(store).read_bytes() == before
    monkeypatch.setattr("replaykit.storage.compaction.demand_same", demand_same)
    assert run("compact", store).exit_code == 0


@pytest.mark.parametrize("words", [["info"], ["list"], ["show"], ["show", "last", "0"], ["verify"], ["list", "--json"]])
def test_a_reader_that_has_gone_is_no_error(words: list[str], store: str) -> None:
    """As with `| head`, which has what it wanted."""
    child = called(words[0], store, *words[1:])
    assert child.stdout is not None
    child.stdout.close()
    child.stdout = None
    _, said = child.communicate(timeout=20)

    assert (child.returncode, said) == (0, b"")


@pytest.mark.parametrize("encoding", some_of(["ascii", "latin-1"]))
@pytest.mark.parametrize("words", [["list"], ["show"], ["show", "last", "0"], ["info"], ["show", "--text"]])
def test_any_encoding_is_printed(words: list[str], encoding: str, store: str) -> None:
    """What it cannot say is an escape."""
    child = called(words[0], store, *words[1:], PYTHONIOENCODING=encoding, COLUMNS="120")
    told, said = child.communicate(timeout=20)

    assert (child.returncode, said) == (0, b"")
    assert b"\\U0001f418" in told or b"\\ud83d\\udc18" in told or words != ["show"]


def test_a_closed_output_is_no_traceback(store: str) -> None:
    """As the shell closes it: `>&-`."""
    for words in ("show --text", "list", "verify --json"):
        command = f'exec "$0" -m replaykit {words} {store} >&-'
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        said = subprocess.run(["sh", "-c", command, sys.executable], env=environment, capture_output=True, timeout=20)
        assert b"Traceback" not in said.stderr and said.returncode == 0, said.stderr
