"""``replaykit diff`` says what two sessions have in common, for people and machines."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import replaykit
from replaykit.cli.commands import program

ROWS = {"fox": ["a", "b"], "dog": ["c"]}


@replaykit.records("find")
def search(query):
    return [{"id": each, "text": query} for each in ROWS[query]]


def record(store, name, *queries):
    with replaykit.Recorder(store) as recorder, recorder.session(name):
        for query in queries:
            search(query)


@pytest.fixture(autouse=True)
def stores(monkeypatch):
    record("runs.rpk", "monday", "fox", "dog")
    record("runs.rpk", "tuesday", "fox", "fox", "dog")
    monkeypatch.setitem(ROWS, "dog", ["d"])
    record("other.rpk", "monday", "fox", "dog")


def diff(*words):
    return CliRunner().invoke(program, ["diff", *words])


def test_equal_sessions_are_identical():
    result = diff("runs.rpk", "monday", "monday")

    assert (result.exit_code, result.output) == (0, "identical: 2 actions\n")


@pytest.mark.parametrize(
    ("member", "then", "now", "shown"),
    [
        ("total", 10, 11, "result.total was 10, is 11"),
        ("error", None, "index offline", "result.error was None, is 'index offline'"),
    ],
)
def test_what_differs_beside_the_hits_is_said(member, then, now, shown):
    for name, said in (("then", then), ("now", now)):
        with replaykit.Recorder("beside.rpk") as recorder, recorder.session(name) as session:
            gave = {"hits": [{"id": 1, "text": "a"}], member: said, "took_ms": len(name)}
            session.record("find", name="search", arguments={"query": "fox"}, output=gave)

    result = diff("beside.rpk", "then", "now")

    assert result.exit_code == 1
    assert shown in " ".join(result.output.split())
    assert "0 agree, 1 differ" in result.output


def test_one_action_more_is_one_difference():
    result = diff("runs.rpk", "monday", "tuesday")

    assert result.exit_code == 1
    assert "+ only in B" in result.output
    assert result.output.endswith("2 agree, 0 differ, 0 only in A, 1 only in B\n")


@pytest.mark.parametrize(
    "words",
    [("runs.rpk", "monday", "other.rpk"), ("runs.rpk", "monday", "other.rpk", "monday")],
)
def test_sessions_of_two_stores(words):
    result = diff(*words, "--json")
    found = json.loads(result.output)

    assert result.exit_code == 1
    assert (found["is_identical"], found["matching_actions"]) == (False, 1)
    assert [item["divergence_type"] for item in found["differing_actions"]] == ["hits_lost", "hits_new"]
    assert diff(*words, "--min-overlap", "0").exit_code == 0


def test_the_default_store_and_the_last_sessions(monkeypatch):
    monkeypatch.setenv("REPLAYKIT_STORE", "runs.rpk")

    assert diff("monday", "monday").exit_code == 0
    assert diff("runs.rpk", "other.rpk").exit_code == 1


@pytest.mark.parametrize("words", [(), ("monday",), ("runs.rpk",), ("a", "b", "c")])
def test_two_sessions_are_needed(words):
    result = diff(*words)

    assert result.exit_code == 2
    assert "two sessions are needed" in result.output


def test_what_is_not_there_is_said():
    assert diff("runs.rpk", "monday", "never").exit_code == 2
    assert diff("gone.rpk", "runs.rpk").exit_code == 3
