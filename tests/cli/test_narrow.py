"""A listing in a narrow window: the name stays, other columns go first."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import replaykit
from replaykit.cli.commands import program


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 200])
def test_the_name_is_shown_at_any_width(width: int, tmp_path: Path) -> None:
    with replaykit.Recorder(tmp_path / "runs.rpk") as recorder:
        for name in ("monday", "tuesday"):
            with recorder.session(name):
                pass

    said = CliRunner().invoke(program, ["list", str(tmp_path / "runs.rpk")], env={"COLUMNS": str(width)})

    lines = said.output.splitlines()
    assert [line.split()[1] for line in lines] == ["name", "monday", "tuesday"]
    assert all(len(line) <= width for line in lines)
    headings = lines[0].split()
    assert headings[:2] == ["session", "name"]
    assert ("state" in headings) == (width >= 30)
    assert ("created" in headings) == (width >= 60)
    assert ("secs" in headings) == (width >= 80)
