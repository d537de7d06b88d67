"""Recordings of every format version so far open, and say what they said."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import replaykit
from replaykit.cli.as_json import jsonable
from replaykit.format.block import Block
from replaykit.format.segment import GAP, KINDS
from replaykit.storage.file_store import FileStore
from replaykit.storage.opening import open_store
from replaykit.storage.recovery import recover
from replaykit.storage.stored_session import SegmentSession, demand_roots

HERE = Path(__file__).parent
GOLDEN = sorted(path for path in HERE.iterdir() if path.suffix in (".rpk", ".mv"))
FILES = [path for path in GOLDEN if path.suffix == ".rpk"]


def expected_in(path: Path) -> list[dict[str, Any]]:
    """Return what the release that wrote the recording read in it: each session."""
    expected = json.loads(Path(f"{path}.json").read_text())
    return expected if isinstance(expected, list) else [expected]


def holds(expected: Any, found: Any) -> bool:
    """Return whether all that was said is still said; later releases may say more."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(key in found and holds(expected[key], found[key]) for key in expected)
    if isinstance(expected, list):
        return len(expected) == len(found) and all(map(holds, expected, found))
    return bool(expected == found)


def assert_reads_as_ever(path: Path, expected: list[dict[str, Any]]) -> None:
    with replaykit.load(path) as recording:
        listed = [str(summary.session_id) for summary in recording.list_sessions()]
        sessions = [jsonable(recording.get_session(UUID(each["session_id"]))) for each in expected]
        verdict = recording.verify()
    assert [each["session_id"] for each in expected] == listed
    for before, now in zip(expected, sessions, strict=True):
        # An earlier release did not count gaps: they are counted once it is written anew.
        now["playable"]["reasons"] = [said for said in now["playable"]["reasons"] if "log are damaged" not in said]
        assert holds(before, now)
    assert verdict, verdict.problems


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_g22_an_old_recording_reads_as_ever(path: Path, tmp_path: Path, figure: Callable[[str, str], None]) -> None:
    """Every field of every action, checkpoint and session is what the release that wrote it read; all is whole."""
    copy = tmp_path / path.name
    shutil.copyfile(path, copy)

    assert_reads_as_ever(copy, expected_in(path))
    # For writing too, which is the strictest way to open it.
    with contextlib.closing(open_store(copy)) as store:
        recover(store)
        assert store.verify()
    figure("G22", f"{path.name}: opens, verifies and reads as it did")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_old_recording_reads_as_ever_once_compacted(path: Path, tmp_path: Path) -> None:
    """No session, action or checkpoint is left out, and roots stay."""
    copy = tmp_path / path.name
    shutil.copyfile(path, copy)
    with contextlib.closing(FileStore(copy)) as store:
        before = [demand_roots(session.pieces) for session in sessions_of(store)]
        store.compact()
        after = [demand_roots(session.pieces) for session in sessions_of(store)]

    assert [root for root in before if root is not None] == [
        root for root, old in zip(after, before, strict=True) if old is not None
    ]
    assert None not in after
    assert_reads_as_ever(copy, expected_in(path))


def sessions_of(store: FileStore) -> list[SegmentSession]:
    return [store.read(card.session_id) for card in store.cards()]


def test_the_newest_recording_has_every_kind_of_block() -> None:
    """Of this release's kinds, and one that it does not know."""
    with contextlib.closing(FileStore(FILES[-1], read_only=True)) as store:
        scanned = store.segment.scan(12, store.size())
        kinds = {item.kind for item in scanned if isinstance(item, Block)}
    assert KINDS | {64} == kinds


def others_in(store: FileStore) -> list[tuple[int, bytes]]:
    """Return kind and body of the blocks that belong to no session and are no commit."""
    scanned = [item for item in store.segment.scan(12, store.size()) if isinstance(item, Block)]
    return [(item.kind, item.body()) for item in scanned if item.kind in (GAP, 64) and b"\x61s\x50" not in item.body()]


def test_what_belongs_to_no_session_survives_compaction(tmp_path: Path) -> None:
    """A kind of a newer release, and the torn end that a recovery kept, with their bodies."""
    copy = tmp_path / FILES[-1].name
    shutil.copyfile(FILES[-1], copy)
    with contextlib.closing(FileStore(copy)) as store:
        before = others_in(store)
        store.compact()
        assert before == others_in(store)
    assert [kind for kind, _ in before] == [64, GAP]


def test_every_golden_file_is_read() -> None:
    """A folder that was emptied by accident would pass everything, and so would a file of another kind."""
    others = {"make.py", "test_golden.py"}
    found = {path.name for path in HERE.iterdir() if path.is_file() and path.name not in others}
    assert found == {path.name for path in GOLDEN} | {f"{path.name}.json" for path in GOLDEN}
    assert len(GOLDEN) >= 4
