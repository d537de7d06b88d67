"""Recorded sessions as tests: one for each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import replaykit

Run = Callable[..., pytest.RunResult]

SOURCE = """
    import agent, pytest, replaykit

    @pytest.mark.replaykit_sessions("release.rpk"{options})
    def test_release(replay_session):
        replaykit.assert_replays(replay_session, agent.search)
"""


@pytest.fixture
def release(project: pytest.Pytester) -> pytest.Pytester:
    """Return a project with three sessions of a search that answers as the project's does."""

    @replaykit.records("find", name="search")
    def search(query: str, k: int = 2) -> list[dict[str, object]]:
        return [{"id": number, "text": f"{query} {number}"} for number in range(k)]

    for name in ("billing", "billing", "support"):
        with replaykit.session(name, store=project.path / "release.rpk"):
            search(name)
    project.makepyfile(test_release=SOURCE.format(options=""))
    return project


def test_each_session_is_a_test(release: pytest.Pytester, run: Run) -> None:
    result = run("-v")

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*test_release[[]billing-*PASSED*", "*test_release[[]support-*PASSED*"])


def test_what_changed_is_said_in_the_failure(
    release: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSWER", "!")

    result = run()

    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["*DivergenceError*", "*billing 0*"])


def test_sessions_can_be_chosen(release: pytest.Pytester, run: Run) -> None:
    release.makepyfile(test_release=SOURCE.format(options=', name="support"'))
    run().assert_outcomes(passed=1)
    release.makepyfile(test_release=SOURCE.format(options=', state="sealed", where=lambda metadata: not metadata'))
    run().assert_outcomes(passed=3)


def test_shards_are_the_whole_together(release: pytest.Pytester, run: Run) -> None:
    passed = [run(f"--replay-shard={number}/2").parseoutcomes().get("passed", 0) for number in (1, 2)]

    assert sum(passed) == 3


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ('"release.rpk", name="gone"', "*release.rpk has no session with name='gone'*"),
        ('"missing.rpk"', "*missing.rpk*"),
        ('"release.rpk", nmae="billing"', "*nmae*"),
        ("", "*path*"),
        ('"release.rpk", shard="3/2"', "*3/2*"),
    ],
)
def test_no_session_is_an_error(release: pytest.Pytester, run: Run, mark: str, message: str) -> None:
    release.makepyfile(
        test_release=f"""
            import pytest

            @pytest.mark.replaykit_sessions({mark})
            def test_release(replay_session):
                pass
        """
    )

    result = run()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])


def test_a_test_that_does_not_take_its_session_is_an_error(release: pytest.Pytester, run: Run) -> None:
    release.makepyfile(
        test_release="""
            import pytest

            @pytest.mark.replaykit_sessions("release.rpk")
            def test_release():
                pass
        """
    )

    run().stdout.fnmatch_lines(["*give it the argument replay_session*"])
