"""Recordings of every format version so far open, and say what they said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.cli.as_json import jsonable

HERE = Path(__file__).parent
GOLDEN = sorted(path for path in HERE.iterdir() if path.suffix in (".rpk", ".mv"))


def holds(expected: Any, found: Any) -> bool:
    """Return whether all that was said is still said; later releases may say more."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(key in found and holds(expected[key], found[key]) for key in expected)
    if isinstance(expected, list):
        return len(expected) == len(found) and all(map(holds, expected, found))
    return bool(expected == found)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_an_old_recording_reads_as_ever(path: Path, tmp_path: Path) -> None:
    """Every field of every action, checkpoint and session is what the release that wrote it read."""
    copy = tmp_path / path.name
    shutil.copyfile(path, copy)
    with replaykit.load(copy) as recording:
        session = jsonable(recording.get_session("golden"))
        verdict = recording.verify()

    expected = json.loads(Path(f"{path}.json").read_text())
    assert holds(expected, session)
    assert verdict, verdict.problems


def test_there_is_something_to_keep() -> None:
    """A folder that was emptied by accident would pass everything."""
    assert len(GOLDEN) >= 2
