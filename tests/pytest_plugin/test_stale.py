"""Recordings that no test has any more: which are, which are not, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from regression.proposed import files_in, of_test, proposed, recorded

from replaykit.regression.stale import remove_stale, stale_recordings

Run = Callable[..., pytest.RunResult]

CALL = ("paris", [])
MODULE = """
    import agent, pytest

    @pytest.mark.replaykit
    class TestNotes:
        @pytest.mark.parametrize("city", ["paris", "Rome"])
        def test_find(self, city):
            agent.search(city)

    @pytest.mark.replaykit(path="recordings/test_one/named.rpk")
    def test_named():
        agent.search("lyon")

    def test_plain():
        pass
"""


@pytest.fixture
def stale(project: pytest.Pytester, run: Run) -> list[Path]:
    """Record a module and return what is stale: of a test, its proposal, a parameter and a module that are gone."""
    project.makepyfile(test_one=MODULE)
    run()
    return [
        of_test(project.path, [CALL], "test_gone", module="test_deleted.py"),
        of_test(project.path, [CALL], "TestNotes", "test_find[oslo]", module="test_one.py"),
        proposed(project.path, [CALL], "test_renamed", module="test_one.py"),
        of_test(project.path, [CALL], "test_renamed", module="test_one.py"),
    ]


def test_a_run_of_a_whole_module_tells_of_them(project: pytest.Pytester, run: Run, stale: list[Path]) -> None:
    """Also where it runs some of its tests only; -k and -m leave tests out, they do not take them away."""
    for chosen in ([], ["-k", "Rome"], ["-m", "not replaykit"], ["--deselect", "test_one.py::TestNotes"]):
        result = run("-q", *chosen)

        names = [f"*{path.parent.name}/{path.name.replace('[', '[[]')}" for path in stale]
        result.stdout.fnmatch_lines(["*stale, no test has them (--replay-stale=delete removes them):", *names])
        result.stdout.no_fnmatch_line("*/named.rpk")
        assert result.ret == 0
    assert all(path.exists() for path in stale)


def test_a_run_that_does_not_know_all_tests_judges_none(project: pytest.Pytester, run: Run, stale: list[Path]) -> None:
    project.makepyfile(test_other="def test_plain(): pass", test_deleted="def test_gone(): pass")
    before = files_in(project.path)

    for chosen in (
        ["test_one.py::TestNotes"],
        ["--lf"],
        ["--co"],
        ["-o", "python_functions=check_*"],
        ["--ignore=test_one.py", "--ignore=test_deleted.py"],
    ):
        result = run("--replay-stale=delete", *chosen)

        result.stdout.no_fnmatch_line("*no test has them*")
        assert files_in(project.path) == before


def test_a_module_that_cannot_be_collected_loses_nothing(project: pytest.Pytester, run: Run, stale: list[Path]) -> None:
    """Nor do the others: of them it is not known which are gone."""
    project.makepyfile(
        test_one="""
            import pytest

            def test_plain():
                pass

            class TestNotes:
                @pytest.mark.parametrize("city")
                def test_find(self):
                    pass
        """
    )
    before = files_in(project.path)

    run("--replay-stale=delete", "--continue-on-collection-errors").assert_outcomes(passed=1, errors=1)

    assert files_in(project.path) == before


def test_they_can_be_an_error(project: pytest.Pytester, run: Run, stale: list[Path]) -> None:
    """Told by the configuration file too; the command line wins."""
    assert run("--replay-stale=fail").ret == pytest.ExitCode.TESTS_FAILED
    project.makeini("[pytest]\nreplaykit_stale = fail")
    assert run().ret == pytest.ExitCode.TESTS_FAILED
    assert run("--replay-stale=report").ret == pytest.ExitCode.OK
    assert all(path.exists() for path in stale)


def test_they_can_be_removed_and_nothing_else_is(project: pytest.Pytester, run: Run, stale: list[Path]) -> None:
    kept = project.path / "recordings" / "test_one"
    (kept / "notes.rpk").write_bytes(b"something of somebody")
    (kept / "test_gone.rpk").write_bytes(stale[1].read_bytes()[:-200])
    (kept / "test_link.rpk").symlink_to(stale[0])
    recorded(kept / "release.rpk", "release", [CALL])
    of_test(project.path, [CALL], "test_moved", module="test_one.py").rename(kept / "copy.rpk")
    before = set(files_in(project.path))
    gone = {str(path.relative_to(project.path)) for path in stale}

    result = run("--replay-stale=delete", "-q")

    result.stdout.fnmatch_lines(["*deleted, no test has them:"])
    assert before - set(files_in(project.path)) == gone
    assert not (project.path / "recordings" / "test_deleted").exists()
    run("--replay-mode=none", "-q").assert_outcomes(passed=4)


def test_they_are_told_where_no_test_has_a_recording_any_more(
    project: pytest.Pytester, run: Run, stale: list[Path]
) -> None:
    project.makepyfile(test_one="def test_plain(): pass")

    run("--replay-stale=delete", "-q").stdout.fnmatch_lines(["*deleted, no test has them:"])

    assert files_in(project.path) == ["recordings/test_one/named.rpk"]


def test_what_cannot_be_removed_stays_stale(tmp_path: Path) -> None:
    """And a folder of recordings that is a symlink is nobody's."""
    path = of_test(tmp_path / "here", [CALL])
    module = str(tmp_path / "here" / "test_notes.py")
    assert stale_recordings({module}, set()) == [str(path)]
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "recordings").symlink_to(tmp_path / "here" / "recordings")
    assert stale_recordings({module.replace("here", "there")}, set()) == []

    folder = tmp_path / "folder.rpk"
    folder.mkdir()
    assert remove_stale([str(folder), str(path), str(path)]) == [str(folder)]
