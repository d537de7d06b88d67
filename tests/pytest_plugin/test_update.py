"""``--replay-update`` puts what differs beside the recordings, and ``replaykit review`` takes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import replaykit
from replaykit.cli.commands import program

Run = Callable[..., pytest.RunResult]

TWO = """
    import agent, os, pytest

    @pytest.mark.replaykit
    def test_paris():
        assert agent.search("paris")
        assert not os.environ.get("FAILS")

    @pytest.mark.replaykit
    def test_lyon():
        if not os.environ.get("SILENT"):
            assert agent.search("lyon" + os.environ.get("MORE", ""))
"""


@pytest.fixture
def recorded(project: pytest.Pytester, run: Run) -> Path:
    """Record two tests and return the folder of their recordings."""
    project.makepyfile(test_two=TWO)
    run()
    return project.path / "recordings" / "test_two"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def asked(path: Path) -> list[str]:
    with replaykit.load(path) as found:
        return [action.arguments["query"] for action in found.get_session("last").actions]


def test_what_differs_waits_beside_its_recording_until_it_is_taken(
    run: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(recorded)
    monkeypatch.setenv("MORE", " station")

    result = run("--replay-update", "-q")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*changed, waiting for `replaykit review`:", "*test_two/test_lyon.rpk"])
    assert sorted(contents(recorded)) == ["test_lyon.new.rpk", "test_lyon.rpk", "test_paris.rpk"]
    assert {name: contents(recorded)[name] for name in before} == before
    assert CliRunner().invoke(program, ["review", "--accept", str(recorded)]).exit_code == 0
    monkeypatch.setenv("OFFLINE", "1")
    run("--replay-mode=none").assert_outcomes(passed=2)


def test_what_is_the_same_again_waits_no_more(run: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As does what was recorded meanwhile, and what is no call any more."""
    before = sorted(contents(recorded))
    for then, value, flag in (
        ("MORE", "", "--replay-update"),
        ("SILENT", "1", "--replay-update"),
        ("MORE", "!", "--replay-mode=rewrite"),
    ):
        monkeypatch.setenv("MORE", "!")
        run("--replay-update", "-k", "lyon")
        assert (recorded / "test_lyon.new.rpk").exists()
        monkeypatch.setenv(then, value)

        run(flag, "-k", "lyon")

        monkeypatch.delenv("SILENT", raising=False)
        assert sorted(contents(recorded)) == before
    assert asked(recorded / "test_lyon.rpk") == ["lyon!"]


def test_a_failing_test_proposes_nothing(run: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(recorded)
    monkeypatch.setenv("FAILS", "1")
    monkeypatch.setenv("ANSWER", "!")

    run("--replay-update", "-k", "paris").assert_outcomes(failed=1, deselected=1)

    assert contents(recorded) == before


def test_a_new_test_is_proposed_on_a_build_server_too(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(test_two=TWO)
    monkeypatch.setenv("CI", "true")

    run("--replay-update").assert_outcomes(passed=2)

    folder = project.path / "recordings" / "test_two"
    assert sorted(contents(folder)) == ["test_lyon.new.rpk", "test_paris.new.rpk"]


def test_tests_that_share_a_recording_share_its_proposal(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them takes the calls of the others for gone."""
    project.makepyfile(test_two=TWO.replace("mark.replaykit", 'mark.replaykit("shared.rpk", mode="new_episodes")'))
    run().stdout.fnmatch_lines(["replaykit: 0 played, 2 recorded, 0 unused"])
    run("--replay-update")
    shared, proposal = project.path / "shared.rpk", project.path / "shared.new.rpk"
    assert asked(shared) == ["paris", "lyon"]
    assert not proposal.exists()

    monkeypatch.setenv("ANSWER", "!")
    run("--replay-update")

    assert sorted(asked(proposal)) == ["lyon", "paris"]
    done = CliRunner().invoke(program, ["review", "--accept", str(project.path)])
    assert "2 differing" in done.stdout
    run("--replay-mode=none").stdout.fnmatch_lines(["replaykit: 2 played, 0 recorded, 0 unused"])


def test_calls_that_a_passing_test_makes_no_more_are_told_with_their_path(
    run: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing one did not come to them."""
    monkeypatch.setenv("SILENT", "1")

    result = run("-q")

    result.stdout.fnmatch_lines(
        [
            "replaykit: 1 played, 0 recorded, 1 unused",
            "*--replay-mode=rewrite drops them*",
            "*test_two/test_lyon.rpk (1)",
        ]
    )
    monkeypatch.delenv("SILENT")
    monkeypatch.setenv("MORE", "!")
    result = run("--co", "-q")
    result.stdout.no_fnmatch_line("*replaykit:*")
    result = run("-q")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["replaykit: 1 played, 0 recorded, 0 unused"])


def test_a_file_of_somebodys_is_left_where_a_proposal_would_be(run: Run, recorded: Path) -> None:
    theirs = recorded / "test_lyon.new.rpk"
    theirs.write_bytes(b"something of somebody")

    run("--replay-update").assert_outcomes(passed=2)

    assert theirs.read_bytes() == b"something of somebody"
