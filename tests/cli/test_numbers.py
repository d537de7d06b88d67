"""A number among the words: the name of a session first, then an action."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import replaykit
from replaykit.cli.commands import program

NAMES = ["1", "123", "4567"]


def run(*words: str) -> Result:
    return CliRunner().invoke(program, list(words))


@pytest.fixture
def memory(tmp_path: Path) -> str:
    """Return a memory with sessions called by numbers, and a last one of three actions."""
    path = str(tmp_path / "num.mv")
    with replaykit.open(path) as mv:
        mv.put("Paris")
        for name in NAMES:
            with mv.session(name):
                mv.find(f"named {name}")
        with mv.session("last one"):
            for number in range(3):
                mv.find(f"other {number}")
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_session_is_found_by_a_name_that_is_a_number(name: str, memory: str, tmp_path: Path) -> None:
    """In every verb that takes one."""
    assert json.loads(run("show", memory, name, "--json").output)["name"] == name
    assert f"named {name}" in run("show", memory, name, "0").output
    assert f"named {name}" in run("show", memory, name, "--text").output
    assert json.loads(run("replay", memory, name, "--json").output)["name"] == name
    assert name in run("tail", memory, name).stderr
    assert json.loads(run("diff", memory, name, name, "--json").output)["is_identical"]
    said = run("test", "new", memory, name, "-o", "tests/test_it.py", "--dry-run")
    assert f"of session {name} (" in said.output, said.output
    assert run("test", "new", memory, name, "0", "-o", "tests/test_it.py", "--dry-run").exit_code == 0
    assert run("delete", memory, name, "--yes").exit_code == 0
    assert name not in [each.name for each in replaykit.load(memory).list_sessions()]


def test_else_it_is_an_action_of_the_last_one(memory: str) -> None:
    """As far as there is one."""
    assert "other 2" in run("show", memory, "2").output
    assert run("show", memory, "99").exit_code == 2
    assert run("test", "new", memory, "0", "2", "-o", "tests/test_it.py", "--dry-run").exit_code == 0
    assert run("bisect", memory, "1").exit_code == 2


@pytest.mark.parametrize("words", [["last", "99"], ["last", "0"], ["2"], ["99"]])
@pytest.mark.parametrize("verb", ["replay", "tail"])
def test_what_takes_a_session_takes_no_action(verb: str, words: list[str], memory: str) -> None:
    """It was ignored, whatever number it was."""
    said = run(verb, memory, *words)

    assert said.exit_code == 2
    assert "not one action" in said.stderr


@pytest.mark.parametrize("words", [["²"], ["last", "²"], ["last", "١"]])
def test_other_digits_are_no_numbers(words: list[str], memory: str) -> None:
    """int() refuses some of them."""
    said = run("show", memory, *words)

    assert said.exit_code == 2
    assert isinstance(said.exception, SystemExit)
