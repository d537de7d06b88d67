"""``replaykit run`` changes nothing that a program shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from effort import effort
from running.programs import PROGRAMS, both_ways, write_library

import replaykit

STATUS = {"state": "0", "failing": "1", "exit code": "3", "raised exit": "44", "exit text": "1", "argparse": "2"} | {
    "interrupt": "130",
    "terminated": None,
    "handled": "7",
    "directory": "1",
    "flags": "0",
}
"""What the sessions of some of them say."""


@pytest.mark.parametrize("name", list(PROGRAMS)[: 3 * effort(100) - 2])
def test_a_program_shows_the_same(name: str, tmp_path: Path) -> None:
    """Output, errors with their tracebacks, and the exit code or signal."""
    write_library(tmp_path / "site")

    without, recorded = both_ways(PROGRAMS[name], tmp_path)

    assert recorded == without
    with replaykit.load(tmp_path / "runs") as recording:
        session = next(
            each for each in recording.list_sessions() if "child" not in recording.get_session(each).metadata
        )
        metadata = recording.get_session(session).metadata
    if name in STATUS:
        assert metadata.get("exit_status") == STATUS[name]
