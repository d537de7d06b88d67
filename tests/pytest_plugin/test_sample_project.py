"""The sample project: recorded with LangChain, played where it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parent.parent / "sample_project"


def test_its_recordings_play_without_the_library(project: pytest.Pytester) -> None:
    shutil.copytree(SAMPLE, project.path, dirs_exist_ok=True)
    # So that it is not there even where it is installed.
    project.makepyfile(langchain_core="raise ImportError('not installed')")

    result = project.runpytest_subprocess("--replay-mode=none")

    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["replaykit: 12 played, 0 recorded, 0 unused"])
