"""``replaykit replay`` says what would come out otherwise, to people, machines and CI."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

import replaykit
from replaykit.cli.commands import program


@pytest.fixture(autouse=True)
def memory():
    with replaykit.open("notes.mv") as mv, mv.session("run"):
        mv.put("a red fox")
        mv.find("fox")
        mv.ask("what is red?")


def change(text="a wolf"):
    with replaykit.open("notes.mv") as mv:
        mv.update(1, text)


def replay(*words):
    return CliRunner().invoke(program, ["replay", *words])


def test_an_untouched_memory_passes_and_no_byte_changes():
    before = Path("notes.mv").read_bytes()
    result = replay("notes.mv")

    assert (result.exit_code, result.output) == (0, "passed  run: 3 matched\n")
    assert Path("notes.mv").read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["notes.mv"]


def test_what_changed_is_told_with_its_cause():
    change()
    result = replay("notes.mv", "run")

    assert result.exit_code == 1
    assert "likely cause" in result.output
    assert result.output.splitlines()[-1].startswith("failed")
    assert replay("notes.mv", "--base", "then").exit_code == 0


def test_machines_get_all_of_it():
    change()
    found = json.loads(replay("notes.mv", "--json").output)

    assert (found["verdict"], found["is_success"], found["mismatched_actions"]) == ("failed", False, 3)
    assert found["divergences"][0]["divergence_type"] == "content_changed"


def test_ci_gets_junit_and_annotations():
    change("a wolf\n::error::forged \x00 ]]> <")
    result = replay("notes.mv", "--junit", "report.xml", "--github")
    [suite] = ElementTree.parse("report.xml").getroot()

    assert (suite.get("tests"), suite.get("failures")) == ("3", "3")
    assert [case.get("name") for case in suite] == ["0 PUT", "1 FIND", "2 ASK"]
    assert result.output.count("\n::error title=session ") + result.output.startswith("::error title=session ") == len(
        result.output.splitlines()
    )
    assert replay("notes.mv", "--junit", "report.xml").exit_code == 2


def test_sessions_kept_elsewhere_name_their_memory():
    with replaykit.open("notes.mv", store="runs.rpk") as mv, mv.session():
        mv.find("fox")

    assert replay("runs.rpk", "--on", "notes.mv").exit_code == 0
    assert replay("runs.rpk").exit_code == 2
    assert "--on MEMORY" in replay("runs.rpk").output


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("notes.mv", "never"), 2),
        (("notes.mv", "--from-checkpoint", "7"), 2),
        (("notes.mv", "--top-k", "0"), 2),
        (("gone.mv",), 3),
        (("notes.mv", "--dry-run"), 1),
    ],
)
def test_bad_input_has_its_exit_code(words, code):
    assert replay(*words).exit_code == code


def test_another_memory_is_asked_by_content():
    with replaykit.open("other.mv") as other:
        other.delete(other.put("passing"))
        other.put("a red fox")
    result = replay("notes.mv", "--on", "other.mv", "--base", "live", "--ids", "content")
    found = json.loads(replay("notes.mv", "--on", "other.mv", "--base", "live", "--ids", "content", "--json").output)

    assert result.exit_code == 0
    assert "agreement of 1 find: overlap 1.000" in result.output
    assert found["agreement"]["overlap"] == 1.0
    assert replay("notes.mv", "--on", "other.mv", "--base", "live").exit_code == 1


# -- all sessions -------------------------------------------------------------------


@pytest.fixture
def more():
    """Five further sessions, each about a frame of its own."""
    with replaykit.open("notes.mv") as mv:
        for number in range(5):
            mv.put(f"a bird{number}")
        for number in range(5):
            with mv.session(f"bird {number}"):
                mv.find(f"bird{number}")
        mv.update(4, "a fish")


def test_all_sessions_of_a_store_give_one_verdict(more):
    alone = replay("notes.mv", "--all", "--skip-puts")
    apart = replay("notes.mv", "--all", "--skip-puts", "--workers", "2")

    assert (alone.exit_code, alone.output) == (apart.exit_code, apart.output)
    assert alone.exit_code == 1
    assert alone.output.splitlines()[-1] == "failed  6 sessions: 4 passed, 2 failed"
    assert "bird 2: 1 differ" in alone.output


def test_shards_share_the_sessions_out(more):
    shards = [json.loads(replay("notes.mv", "--all", "--shard", f"{n}/2", "--json").output) for n in (1, 2)]
    ids = [session["session_id"] for shard in shards for session in shard["sessions"]]

    assert (len(ids), len(set(ids))) == (6, 6)
    assert sum(shard["totals"]["failed"] for shard in shards) == 2


def test_a_baseline_is_written_when_asked_and_then_accepted(more):
    assert replay("notes.mv", "--all", "--baseline", "known.json").exit_code == 2
    assert not Path("known.json").exists()
    written = replay("notes.mv", "--all", "--baseline", "known.json", "--write-baseline")
    known = replay("notes.mv", "--all", "--baseline", "known.json", "--junit", "report.xml", "--github")

    assert (written.exit_code, known.exit_code, known.output) == (0, 0, "")
    assert len(ElementTree.parse("report.xml").getroot()) == 6
    with replaykit.open("notes.mv") as mv:
        mv.update(5, "a cow")
    failed = replay("notes.mv", "--all", "--baseline", "known.json")
    assert failed.exit_code == 1
    assert "bird 3: 1 differ" in failed.output
    assert "frame 5 was updated at" in failed.output


def test_an_interrupted_run_is_taken_up(more):
    replay("notes.mv", "--all", "--resume", "done.jsonl")

    assert (
        replay("notes.mv", "--all", "--resume", "done.jsonl").output.splitlines()[-1].endswith("6 sessions taken over")
    )


def test_options_of_many_sessions_need_all(more):
    for words in (["--shard", "1/2"], ["--workers", "2"], ["--baseline", "x"], ["--write-baseline"], ["--resume", "x"]):
        result = replay("notes.mv", *words)
        assert result.exit_code == 2
        assert f"{words[0]} is for many sessions" in result.output
    assert replay("notes.mv", "run", "--all").exit_code == 2
    assert replay("notes.mv", "--all", "--shard", "9/2").exit_code == 2
