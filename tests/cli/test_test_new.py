"""``replaykit test new`` shows what it would write, asks, and writes a test with its recording."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from importers.samples import sample

import replaykit
from replaykit.cli.commands import program

TEST = "tests/test_notes.py"
KEY = "sk-proj-" + "a1B2c3D4" * 5


@pytest.fixture(autouse=True)
def store(own_folder: Path) -> None:
    """A store with a session of three calls, one of them with a key and an address in it."""
    with replaykit.open(":memory:", store="runs.rpk", redact=()) as mv:
        with mv.session("first", metadata={"user": "bob"}):
            mv.put("Paris is the capital of France.")
            mv.find(f"capital {KEY}", k=3)
            mv.ask("Who is bob@example.com?")
        with mv.session("second"):
            mv.find("river")


def new(*words: str) -> Result:
    return CliRunner().invoke(program, ["test", "new", *words])


def files() -> list[str]:
    return sorted(str(path) for path in Path(".").rglob("*") if path.is_file() and path.name != "runs.rpk")


def test_what_would_be_in_it_is_shown_before_it_is_written() -> None:
    shown = new("runs.rpk", "first", "-o", TEST, "--dry-run")

    assert shown.exit_code == 0
    assert files() == []
    for words in (
        "test_first of session first",
        "1 put       put",
        "redacted    email, openai",
        "of that now email, openai",
        "metadata    none; left out: user",
        "longest     action 0 arguments.content, 31 characters: Paris is the capital of France.",
        'memory.ask("Who is [redacted:email]?")',
        "* find find of replaykit.Memory\n  about:",
    ):
        assert words in shown.output
    assert "a1B2c3D4" not in shown.output

    done = new("runs.rpk", "first", "-o", TEST)

    assert done.exit_code == 0
    assert done.output.splitlines()[-1].startswith(f"written: {TEST} and tests/recordings/test_notes/test_first.rpk")
    assert files() == ["tests/recordings/test_notes/test_first.rpk", TEST]
    assert Path(TEST).read_text() in shown.output


def test_for_machines_it_is_json() -> None:
    done = json.loads(new("runs.rpk", "first", "0", "2", "-o", TEST, "--name", "both", "--json").stdout)

    assert (done["test"], done["file"], done["written"], done["left_out"]) == ("test_both", TEST, True, [])
    assert [(call["action"], call["name"]) for call in done["calls"]] == [(0, "put"), (2, "ask")]
    assert done["contents"]["redacted"] == {"email": 1}
    assert done["source"] == Path(TEST).read_text()
    assert os.path.getsize(done["recording"]) == done["recording_bytes"]


def test_without_a_session_the_last_is_meant_and_small_numbers_are_actions() -> None:
    assert new("runs.rpk", "0", "-o", TEST).exit_code == 0
    assert new("runs.rpk", "first", "-o", TEST, "--append", "--recordings", "tapes").exit_code == 0

    assert files() == [
        "tests/recordings/test_notes/test_second.rpk",
        "tests/tapes/test_notes/test_first.rpk",
        TEST,
    ]


def test_exit_codes(own_folder: Path) -> None:
    """Wrong usage 2, what cannot be played 1, what cannot be read 3; and nothing is written."""
    Path("old.mv2").write_bytes(sample("01"))
    Path("cut.rpk").write_bytes(Path("runs.rpk").read_bytes()[:100])
    Path("there.py").write_text("")

    for code, words in (
        (2, ["runs.rpk", "first"]),
        (2, ["runs.rpk", "first", "x", "-o", TEST]),
        (2, ["runs.rpk", "nobody", "-o", TEST]),
        (2, ["runs.rpk", "first", "9", "-o", TEST]),
        (2, ["runs.rpk", "first", "-o", "there.py"]),
        (2, ["runs.rpk", "first", "-o", TEST, "--rules", "none"]),
        (2, ["runs.rpk", "first", "-o", TEST, "--rules", "nonsense"]),
        (2, ["runs.rpk", "first", "-o", TEST, "--recordings", "../x"]),
        (1, ["old.mv2", "last", "-o", TEST]),
        (3, ["missing.rpk", "last", "-o", TEST]),
        (3, ["cut.rpk", "last", "-o", TEST]),
        (3, ["runs.rpk", "first", "-o", "there.py/test_x.py"]),
    ):
        done = new(*words)
        assert done.exit_code == code, (words, done.output)
        assert KEY not in done.output
    assert files() == ["cut.rpk", "old.mv2", "there.py"]


@pytest.mark.parametrize(("answer", "written"), [("y\n", True), ("\n", False)])
def test_on_a_terminal_it_asks(monkeypatch: pytest.MonkeyPatch, answer: str, written: bool) -> None:
    """And a plain Enter says no."""
    ours, theirs = os.openpty()
    with open(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        os.write(ours, answer.encode())
        with pytest.raises(SystemExit) as ended:
            program.main(["test", "new", "runs.rpk", "second", "-o", TEST])
    os.close(ours)

    assert ended.value.code == (0 if written else 1)
    assert os.path.exists(TEST) is written
