"""``replaykit bisect`` names the write after which a find gives something else."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import replaykit
from replaykit.cli.commands import program


@pytest.fixture(autouse=True)
def memory():
    with replaykit.open("notes.mv") as mv:
        with mv.session("run"):
            mv.put("the capital is Rome")
            mv.find("capital")
        mv.put("filler")
        mv.update(1, "the town is Rome")


def bisect(*words):
    return CliRunner().invoke(program, ["bisect", *words])


@pytest.mark.parametrize("words", [("run", "1"), ("--find", "capital", "--good", "1")])
def test_it_names_the_write(words):
    result = bisect("notes.mv", *words)

    assert result.exit_code == 0
    assert "generation 3 gives another answer than 2" in result.output
    assert "frame 1 was updated" in result.output


def test_machines_get_all_of_it():
    found = json.loads(bisect("notes.mv", "run", "1", "--json").output)

    assert (found["generation"], found["lost"]) == (3, [1])


@pytest.mark.parametrize(
    ("words", "code"), [(("notes.mv",), 2), (("gone.mv", "--find", "x"), 3), (("notes.mv", "run", "7"), 2)]
)
def test_bad_input_has_its_exit_code(words, code):
    assert bisect(*words).exit_code == code
