"""What the README shows first."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

import replaykit
from replaykit.cli.commands import program


def run(*arguments: str) -> Result:
    return CliRunner().invoke(program, arguments)


def test_demo_records_a_session_on_real_text(tmp_path: Path) -> None:
    """No key, no network: the standard library's docstrings, a session, and commands to try."""
    path = str(tmp_path / "demo.mv")
    first = run("demo", path)
    second = run("demo", path)

    assert first.exit_code == 0, first.output
    assert "Try next:" in first.output
    assert "docstrings already" in second.output
    sessions = json.loads(run("list", path, "--json").output)
    assert [item["name"] for item in sessions] == ["demo", "demo"]
    assert all(item["checkpoint_count"] == 3 for item in sessions)
    assert len(replaykit.open(path, read_only=True)) > 5_000
