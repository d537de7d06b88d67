"""Memories of every version of the tables so far open, and say what they said, of the present and of the past."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.testing.embedders import HashedNgrams

HERE = Path(__file__).parent
GOLDEN = sorted(HERE.glob("*.mv"))


def told(mv: replaykit.Memory) -> Any:
    """Return what `make.py` wrote down of a memory."""
    spec = importlib.util.spec_from_file_location("make_memories", HERE / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return json.loads(json.dumps(module.told(mv)))


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_an_old_memory_says_what_it_said(path: Path, read_only: bool, tmp_path: Path) -> None:
    """Frames, hashes, hits, order and scores, now and at each generation; and its session replays."""
    copy = tmp_path / path.name
    shutil.copyfile(path, copy)
    with replaykit.open(copy, embedder=HashedNgrams(16), read_only=read_only) as mv:
        assert told(mv) == json.loads(Path(f"{path}.json").read_text())
        assert mv.replay("golden", base="then", from_checkpoint=0)
    if read_only:
        assert copy.read_bytes() == path.read_bytes()


def test_there_is_one_of_each_version() -> None:
    """A folder that was emptied by accident would pass everything."""
    from replaykit.memory.schema import VERSION

    assert [path.stem for path in GOLDEN] == [str(version) for version in range(2, VERSION + 1)]
