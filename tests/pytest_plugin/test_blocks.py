"""Recordings that tests open themselves, by ``use_recording`` and ``RecordingMixin``: the command line rules them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from replaykit.cli.commands import program

Run = Callable[..., pytest.RunResult]

BLOCKS = """
    import agent, os, pathlib, replaykit, unittest
    from replaykit.testing import RecordingMixin

    HERE = pathlib.Path(__file__).parent

    def test_block():
        with replaykit.use_recording(HERE / "block.rpk", mode={mode!r}) as recording:
            print("block", recording.mode)
            agent.search("paris")

    class TestCase(RecordingMixin, unittest.TestCase):
        recording_mode = {mode!r}

        def test_case(self):
            print("case", self.recording.mode)
            agent.search("lyon")
"""


@pytest.fixture
def written(project: pytest.Pytester) -> list[Path]:
    """Return where the recordings of the two tests belong."""
    project.makepyfile(test_blocks=BLOCKS.format(mode=None))
    return [project.path / "block.rpk", project.path / "recordings" / "test_blocks" / "TestCase.test_case.rpk"]


def test_the_mode_of_the_command_line_is_that_of_blocks(run: Run, written: list[Path]) -> None:
    result = run("--replay-mode=none")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*mode none records none*pytest --replay-mode=*"])
    assert not any(path.exists() for path in written)
    run("--replay-mode=new_episodes").assert_outcomes(passed=2)
    assert all(path.exists() for path in written)
    run("--replay-mode=none").assert_outcomes(passed=2)


def test_an_update_puts_what_differs_beside_the_recordings_of_blocks(
    project: pytest.Pytester, run: Run, written: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run().assert_outcomes(passed=2)
    before = [path.read_bytes() for path in written]
    monkeypatch.setenv("ANSWER", "!")

    run("--replay-update").assert_outcomes(passed=2)

    assert [path.read_bytes() for path in written] == before
    assert all(path.with_suffix(".new.rpk").exists() for path in written)
    assert CliRunner().invoke(program, ["review", "--accept", str(project.path)]).exit_code == 0
    assert [b"paris 0!" in written[0].read_bytes(), b"lyon 0!" in written[1].read_bytes()] == [True, True]
    run("--replay-mode=none").assert_outcomes(passed=2)


def test_the_command_line_wins_then_the_environment_the_code_and_the_file(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makeini("[pytest]\nreplaykit_mode = new_episodes")
    project.makepyfile(test_blocks=BLOCKS.format(mode=None))
    run("-s").stdout.fnmatch_lines(["*block new_episodes*", "*case new_episodes*"])
    project.makepyfile(test_blocks=BLOCKS.format(mode="all"))
    run("-s").stdout.fnmatch_lines(["*block all*", "*case all*"])
    monkeypatch.setenv("REPLAYKIT_MODE", "once")
    run("-s").stdout.fnmatch_lines(["*block once*", "*case once*"])
    run("-s", "--replay-mode=off").stdout.fnmatch_lines(["*block off*", "*case off*"])


def test_what_a_run_said_is_over_with_it(project: pytest.Pytester, run: Run, written: list[Path]) -> None:
    run("--replay-mode=none").assert_outcomes(failed=2)

    run().assert_outcomes(passed=2)

    assert all(path.exists() for path in written)


def test_calls_beside_a_block_are_the_tests(project: pytest.Pytester, run: Run) -> None:
    """A block is its own task's only."""
    project.makepyfile(
        test_blocks="""
            import agent, asyncio, pytest, replaykit

            async def inside():
                async with replaykit.use_recording("block.rpk") as recording:
                    agent.search("inside")
                    await asyncio.sleep(0.01)
                assert [action.arguments["query"] for action in recording.unused] == []

            async def beside():
                await asyncio.sleep(0)
                agent.search("beside")

            async def main():
                await asyncio.gather(inside(), beside())

            @pytest.mark.replaykit
            def test_beside(replay_recording):
                asyncio.run(main())
                assert replay_recording.recorded_count + replay_recording.play_count == 1
        """
    )

    run("--replay-mode=once").assert_outcomes(passed=1)

    run("--replay-mode=none").assert_outcomes(passed=1)
