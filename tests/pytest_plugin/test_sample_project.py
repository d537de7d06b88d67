"""The sample project: recorded with LangChain, played where it is not."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parent.parent / "sample_project"


def test_its_recordings_play_without_the_library(
    project: pytest.Pytester, run: Callable[..., pytest.RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(SAMPLE, project.path, dirs_exist_ok=True)
    # As if it were not installed, where it is.
    monkeypatch.setitem(sys.modules, "langchain_core", None)

    result = run("--replay-mode=none")

    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["replaykit: 12 played, 0 recorded, 0 unused"])
