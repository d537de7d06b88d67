"""In other processes: pytest-xdist's workers, a pytest of its own, any order of tests."""

from __future__ import annotations

import pytest
from pytest_plugin.conftest import project  # noqa: F401 - a fixture
from regression.proposed import of_test

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
