"""The live log of a recorder that is gone, and the store beside it, on a disk in RAM."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from hostile.memory_disk import MemoryDisk
from hostile.reading import NAME

import replaykit
from replaykit.format import records
from replaykit.format.entries import Gap
from replaykit.storage.file_store import FileStore
from replaykit.storage.recovery import recover

__all__ = ["ACTIONS", "abandoned_log", "recovered", "whole_records"]

ACTIONS = 12


def abandoned_log(folder: Path) -> tuple[UUID, bytes, bytes]:
    """Return a session's id, the bytes of its store and those of its live log, as ``kill -9`` would leave them."""
    path = folder / "left.rpk"
    with replaykit.Recorder(path, redact=()) as recorder, recorder.session("left") as session:
        for step in range(ACTIONS):
            session.record("tool", name="step", arguments={"n": step}, output=f"result {step} " * 3)
        return session.id, path.read_bytes(), (folder / f"left.rpk.{session.id.hex}.live").read_bytes()


def recovered(
    session_id: UUID, store: bytes, log: bytes
) -> tuple[dict[int, dict[str, Any]], list[Gap], Any, MemoryDisk]:
    """Recover *log* beside *store*; return the actions, the gaps, the card (None: no session) and the disk."""
    disk = MemoryDisk(**{NAME: store, f"{NAME}.{session_id.hex}.live": log})
    opened = FileStore(NAME, files=disk)
    recover(opened)
    cards = opened.cards()
    if not cards:
        return {}, [], None, disk
    session = opened.read(session_id)
    actions = {action["i"]: dict(action) for action in session.actions()}
    assert opened.verify(), opened.verify().problems
    gaps = list(session.gaps)
    opened.close()
    return actions, gaps, cards[0], disk


def whole_records(log: bytes) -> list[tuple[int, int, int]]:
    """Return start, end and kind of each record."""
    found = records.read_records(lambda at, size: log[at : at + size], 0, len(log))
    return [(each.offset, each.end, each.what) for each in found if isinstance(each, records.Record)]
