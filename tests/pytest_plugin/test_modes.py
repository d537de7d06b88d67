"""Record modes: VCR's, under VCR's names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import replaykit

Run = Callable[..., pytest.RunResult]

ONE = """
    import agent, os, pytest

    @pytest.mark.replaykit
    def test_one():
        for query in os.environ.get("QUERIES", "paris").split():
            assert agent.search(query)[0]["text"].startswith(query)
        assert not os.environ.get("FAILS")
"""


@pytest.fixture
def recording(project: pytest.Pytester) -> Path:
    """Return where the recording of the one test belongs."""
    project.makepyfile(test_one=ONE)
    return project.path / "recordings" / "test_one" / "test_one.rpk"


def recorded(path: Path) -> list[str]:
    """Return what was asked, and the first answer, of each recorded call."""
    with replaykit.load(path) as found:
        actions = found.get_session("last").actions
        return [f"{action.arguments['query']}: {action.output[0]['text']}" for action in actions]


def test_once_records_and_then_plays(run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run().stdout.fnmatch_lines(["replaykit: 0 played, 1 recorded, 0 unused"])
    before = recording.read_bytes()
    monkeypatch.setenv("OFFLINE", "1")

    result = run()

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["replaykit: 1 played, 0 recorded, 0 unused"])
    assert recording.read_bytes() == before


def test_once_does_not_add_a_call_to_a_recording(run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    before = recording.read_bytes()
    monkeypatch.setenv("QUERIES", "paris lyon")

    result = run()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*NoMatchError*search(query='lyon'*", "*nearest: action 0*query was 'paris'*asked 'lyon'*"]
    )
    result.stdout.fnmatch_lines(["*mode once runs nothing*--replay-mode=new_episodes*--replay-mode=rewrite*"])
    assert recording.read_bytes() == before


def test_new_episodes_adds_what_is_missing_and_plays_the_rest(
    run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.setenv("QUERIES", "paris lyon")
    monkeypatch.setenv("ANSWER", "!")

    run("--replay-mode=new_episodes").stdout.fnmatch_lines(["replaykit: 1 played, 1 recorded, 0 unused"])

    assert recorded(recording) == ["paris: paris 0", "lyon: lyon 0!"]


def test_all_runs_everything_and_keeps_what_was_not_asked(
    run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUERIES", "paris lyon")
    run()
    monkeypatch.setenv("QUERIES", "lyon")
    monkeypatch.setenv("ANSWER", "!")

    run("--replay-mode=all").stdout.fnmatch_lines(["replaykit: 0 played, 1 recorded, 0 unused"])

    assert recorded(recording) == ["paris: paris 0", "lyon: lyon 0!"]


def test_rewrite_begins_from_scratch(run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUERIES", "paris lyon")
    run()
    monkeypatch.setenv("QUERIES", "lyon")

    run("--replay-mode=rewrite").assert_outcomes(passed=1)

    assert recorded(recording) == ["lyon: lyon 0"]


def test_rewriting_what_is_the_same_leaves_the_file_alone(run: Run, recording: Path) -> None:
    run()
    before = recording.stat()

    run("--replay-mode=rewrite").assert_outcomes(passed=1)

    assert (recording.stat().st_mtime_ns, recording.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_none_runs_and_writes_nothing(run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("--replay-mode=none")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*search(query='paris', k=2) is not recorded*mode none*--replay-mode=once*"])
    assert not recording.exists()


def test_off_runs_everything_and_records_nothing(run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("--replay-mode=off").assert_outcomes(passed=1)
    assert not recording.exists()
    run()
    monkeypatch.setenv("OFFLINE", "1")

    run("--replay-mode=off").assert_outcomes(failed=1)


@pytest.mark.parametrize("mode", ["once", "all", "rewrite", "new_episodes"])
def test_a_failing_test_writes_nothing(run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("FAILS", "1")
    run(f"--replay-mode={mode}").assert_outcomes(failed=1)
    assert not recording.exists()
    monkeypatch.delenv("FAILS")
    run()
    before = recording.read_bytes()
    monkeypatch.setenv("FAILS", "1")
    monkeypatch.setenv("QUERIES", "lyon")

    run(f"--replay-mode={mode}").assert_outcomes(failed=1)

    assert recording.read_bytes() == before


def test_a_test_whose_teardown_fails_writes_nothing(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        test_one="""
            import agent, pytest

            @pytest.fixture
            def broken():
                yield
                raise OSError("teardown")

            @pytest.mark.replaykit
            def test_one(broken):
                agent.search("paris")
        """
    )

    run().assert_outcomes(passed=1, errors=1)

    assert not (project.path / "recordings").exists()


@pytest.mark.parametrize(
    ("ending", "outcome"), [("pytest.skip('later')", "skipped"), ("pytest.xfail('known')", "xfailed")]
)
def test_a_skipped_test_writes_nothing(project: pytest.Pytester, run: Run, ending: str, outcome: str) -> None:
    project.makepyfile(
        test_one=f"""
            import agent, pytest

            @pytest.mark.replaykit
            def test_one():
                agent.search("paris")
                {ending}
        """
    )

    assert run().parseoutcomes() == {outcome: 1}

    assert not (project.path / "recordings").exists()


# -- which mode -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ci", "passes"), [("true", False), ("1", False), ("woodpecker", False), ("false", True), ("0", True), ("", True)]
)
def test_on_a_build_server_none_is_the_default(
    run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch, ci: str, passes: bool
) -> None:
    monkeypatch.setenv("CI", ci)

    run().assert_outcomes(passed=int(passes), failed=int(not passes))

    assert recording.exists() is passes


def test_on_a_build_server_the_command_line_may_say_otherwise(
    run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")

    run("--replay-mode=once").assert_outcomes(passed=1)


def test_the_command_line_wins_then_the_environment_the_mark_the_fixture_and_the_file(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(
        test_one="""
            import pytest

            @pytest.fixture(scope="module")
            def replay_config():
                return {"mode": "new_episodes"}

            @pytest.mark.replaykit(mode="rewrite")
            def test_marked(replay_recording):
                print("marked", replay_recording.mode)

            @pytest.mark.replaykit
            def test_configured(replay_recording):
                print("configured", replay_recording.mode)
        """,
        test_two="""
            def test_plain(replay_recording):
                print("plain", replay_recording.mode)
        """,
    )
    project.makeini("[pytest]\nreplaykit_mode = all")

    run("-s").stdout.fnmatch_lines(["*marked rewrite*", "*configured new_episodes*", "*plain all*"])
    monkeypatch.setenv("REPLAYKIT_MODE", "none")
    run("-s").stdout.fnmatch_lines(["*marked none*", "*configured none*", "*plain none*"])
    run("-s", "--replay-mode=off").stdout.fnmatch_lines(["*marked off*", "*configured off*", "*plain off*"])


@pytest.mark.parametrize("mark", ["mode='sometimes'", "moed='once'", "on_repeat='maybe'", "misses='ignore'"])
def test_a_wrong_option_says_which_there_are(project: pytest.Pytester, run: Run, mark: str) -> None:
    project.makepyfile(
        test_one=f"""
            import pytest

            @pytest.mark.replaykit({mark})
            def test_one():
                pass
        """
    )

    result = run()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*Error*"])


SWITCHED_OFF = """
    import agent, replaykit

    def test_marked(replay_recording):
        agent.search("paris")
        agent.search("rome")

    def test_block():
        with replaykit.use_recording("block.rpk", mode="new_episodes") as recording:
            agent.search("paris")
        assert (recording.recorded_count, len(recording.session.actions)) == (0, 0)
"""


@pytest.mark.parametrize(
    "said", ["--replay-mode=once", "--replay-mode=all", "--replay-mode=rewrite", "--replay-update"]
)
def test_where_recording_is_switched_off_calls_run_and_it_is_said(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """As everywhere ``REPLAYKIT_DISABLED`` wins over what is asked for: nothing is written, and nothing fails."""
    project.makepyfile(test_off=SWITCHED_OFF)
    monkeypatch.setenv("REPLAYKIT_DISABLED", "1")

    result = run(said, "-W", "default")

    result.assert_outcomes(passed=2, warnings=2)
    result.stdout.fnmatch_lines(
        ["*calls ran and were not recorded: REPLAYKIT_DISABLED switches recording off. Unset it to record tests*"]
    )
    assert list(project.path.rglob("*.rpk")) == []


def test_where_recording_is_switched_off_recordings_are_played(
    run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then there is nothing to say; a call that may run is another matter, and one that may not a miss as ever."""
    run().assert_outcomes(passed=1)
    before = recording.read_bytes()
    monkeypatch.setenv("REPLAYKIT_DISABLED", "1")

    for mode in ("once", "new_episodes", "none"):
        result = run(f"--replay-mode={mode}")
        result.assert_outcomes(passed=1, warnings=0)
        result.stdout.fnmatch_lines(["replaykit: 1 played, 0 recorded, 0 unused"])

    monkeypatch.setenv("QUERIES", "paris lyon")
    run().assert_outcomes(failed=1)
    run("--replay-mode=new_episodes", "-W", "default").assert_outcomes(passed=1, warnings=1)
    assert recording.read_bytes() == before
