"""In other processes: pytest-xdist's workers, a pytest of its own, any order of tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from effort import some_of
from pytest_plugin.conftest import project  # noqa: F401 - a fixture
from regression.proposed import of_test

import replaykit

MANY = """
    import agent, pytest

    @pytest.mark.replaykit
    @pytest.mark.parametrize("number", range(24))
    def test_many(number):
        assert agent.search(f"q{number}")[0]["text"].startswith(f"q{number} 0")
        assert agent.fetch(f"/{number}")

    class TestMore:
        pytestmark = pytest.mark.replaykit

        @pytest.mark.parametrize("number", range(4))
        def test_more(self, number, replay_session):
            agent.search(f"more {number}")
"""

SHUFFLED = """
    import os, random

    def pytest_collection_modifyitems(items):
        random.Random(os.environ.get("SEED", "1")).shuffle(items)
"""

SHARING = """
    import os, time
    from pathlib import Path

    import agent, pytest

    def meet(number):
        # Until all four workers are at their test of this number; not for ever.
        folder, until = Path("meeting"), time.monotonic() + 10
        folder.mkdir(exist_ok=True)
        (folder / f"{number} {os.environ['PYTEST_XDIST_WORKER']}").touch()
        while len(list(folder.glob(f"{number} *"))) < 4 and time.monotonic() < until:
            time.sleep(0.001)

    @pytest.mark.replaykit("shared/calls.rpk")
    @pytest.mark.parametrize("number", range(int(os.environ["TESTS"])))
    def test_sharing(number):
        agent.search(f"{Path(__file__).stem} {number}")
        agent.search("the same")
        meet(number)
"""
MODULES = ["test_a", "test_b", "test_c", "test_d"]
"""Each is the tests of one of four workers."""


def shared_calls(path: Path) -> list[tuple[str, str]]:
    """Return what was asked in a recording, and the first of what was found."""
    with replaykit.load(path) as recording:
        actions = recording.get_session("last").actions
        return sorted((action.arguments["query"], action.output[0]["text"]) for action in actions)


def calls_of(tests: int) -> list[tuple[str, str]]:
    """Return what four modules of `SHARING` ask and find in so many tests of each, all of it once."""
    asked = ["the same", *(f"{module} {number}" for module in MODULES for number in range(tests))]
    return sorted((query, f"{query} 0") for query in asked)


@pytest.mark.parametrize("mode", some_of(["new_episodes", "once", "all", "rewrite", "update"]))
def test_workers_lose_no_call_of_a_recording_that_they_share(
    project: pytest.Pytester,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    """Four of them write it at the same moment, again and again; what two of them record at once is there once."""
    # One each: a second one would find the file that the first has made.
    tests = 1 if mode == "once" else 8
    project.makepyfile(**dict.fromkeys(MODULES, SHARING))
    monkeypatch.setenv("TESTS", str(tests))
    says = "--replay-update" if mode == "update" else f"--replay-mode={mode}"

    result = project.runpytest_subprocess("-n", "4", "-q", "--dist=loadfile", says)

    result.assert_outcomes(passed=4 * tests)
    folder = project.path / "shared"
    name = "calls.new.rpk" if mode == "update" else "calls.rpk"
    assert [path.name for path in folder.iterdir()] == [name]
    assert shared_calls(folder / name) == calls_of(tests)


def test_four_workers_record_once_and_play_in_any_order(
    project: pytest.Pytester,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project.makepyfile(test_many=MANY)
    project.makeconftest(SHUFFLED)
    project.makepyfile(test_stale="def test_nothing(): pass")

    result = project.runpytest_subprocess("-n", "4", "-q")

    result.assert_outcomes(passed=29)
    result.stdout.fnmatch_lines(["replaykit: 0 played, 52 recorded, 0 unused"])
    files = {path: path.read_bytes() for path in project.path.rglob("*.rpk")}
    assert len(files) == 28

    monkeypatch.setenv("OFFLINE", "1")
    monkeypatch.setenv("SEED", "2")
    stale = of_test(project.path, [("paris", [])], "test_gone", module="test_stale.py")
    result = project.runpytest_subprocess(
        "-n", "4", "-q", "--replay-mode=none", "--dist=worksteal", "--replay-stale=fail"
    )

    result.assert_outcomes(passed=29)
    assert (result.ret, result.stdout.str().count(stale.name)) == (pytest.ExitCode.TESTS_FAILED, 1)
    result.stdout.fnmatch_lines(
        ["replaykit: 52 played, 0 recorded, 0 unused", "*stale, no test has them*", "*test_gone.rpk*"]
    )
    assert {path: path.read_bytes() for path in files} == files


def test_workers_write_the_bytes_that_one_process_writes(project: pytest.Pytester) -> None:  # noqa: F811 - as above
    project.makepyfile(test_many=MANY)
    project.runpytest_inprocess("-q", "-p", "no:xdist").assert_outcomes(passed=28)
    files = {path: path.read_bytes() for path in project.path.rglob("*.rpk")}

    project.runpytest_subprocess("-n", "2", "-q", "--replay-mode=rewrite").assert_outcomes(passed=28)

    assert {path: path.read_bytes() for path in project.path.rglob("*.rpk")} == files
