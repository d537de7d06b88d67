"""Recordings of every format version so far open, and say what they said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.cli.as_json import jsonable
from replaykit.storage.opening import open_store
from replaykit.storage.recovery import recover

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
def test_g22_an_old_recording_reads_as_ever(path: Path, tmp_path: Path, figure: Callable[[str, str], None]) -> None:
    """Every field of every action, checkpoint and session is what the release that wrote it read; all is whole."""
    copy = tmp_path / path.name
    shutil.copyfile(path, copy)
    with replaykit.load(copy) as recording:
        session = jsonable(recording.get_session("golden"))
        verdict = recording.verify()

    expected = json.loads(Path(f"{path}.json").read_text())
    assert holds(expected, session)
    assert verdict, verdict.problems
    # For writing too, which is the strictest way to open it.
    with closing(open_store(copy)) as store:
        assert recover(store) == 0
        assert store.verify()
    figure("G22", f"{path.name}: opens, verifies and reads as it did")


def test_every_golden_file_is_read() -> None:
    """A folder that was emptied by accident would pass everything, and so would a file of another kind."""
    others = {"make.py", "test_golden.py"}
    found = {path.name for path in HERE.iterdir() if path.is_file() and path.name not in others}
    assert found == {path.name for path in GOLDEN} | {f"{path.name}.json" for path in GOLDEN}
    assert len(GOLDEN) >= 2
